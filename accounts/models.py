"""Who may come in, and what they did."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from accounts.roles import Role


class UserManager(DjangoUserManager["User"]):
    def create_superuser(self, *args: Any, **kwargs: Any) -> User:
        kwargs.setdefault("role", Role.ADMINISTRATOR)
        return super().create_superuser(*args, **kwargs)


class Theme(models.TextChoices):
    SYSTEM = "system", _("as the system")
    LIGHT = "light", _("light")
    DARK = "dark", _("dark")


class User(AbstractUser):
    """A person. Machines have tokens, not users."""

    role = models.CharField(max_length=16, choices=Role.choices, default=Role.AUDITOR)  # the role that changes nothing
    language = models.CharField(max_length=8, blank=True)  # of settings.LANGUAGES; empty: as the browser asks
    theme = models.CharField(max_length=6, choices=Theme.choices, default=Theme.SYSTEM)
    time_zone = models.CharField(max_length=64, blank=True)  # IANA name; empty: as the browser says
    # WCAG 2.1.4: single-key shortcuts can be switched off, and verdicts can lie on other keys
    single_keys = models.BooleanField(default=True)
    positive_key = models.CharField(max_length=1, blank=True)  # both or none; empty: the detector's own
    negative_key = models.CharField(max_length=1, blank=True)

    objects: ClassVar[UserManager] = UserManager()

    def has_role(self, *roles: Role | str) -> bool:
        return self.is_active and self.role in roles


class TokenQuerySet(models.QuerySet["Token"]):
    def usable(self, now: datetime) -> TokenQuerySet:
        """Neither revoked, nor expired, nor of somebody who was locked out."""
        return self.filter(Q(owner=None) | Q(owner__is_active=True), revoked_at=None, expires_at__gt=now)


class Token(models.Model):
    """What a machine shows instead of a password. Only the digest of its secret is kept."""

    class Kind(models.TextChoices):
        SENSOR = "sensor", _("sensor")  # hands traffic in, as the sensor of its name
        SYSTEM = "system", _("expert system")  # hands rule verdicts in, as the system of its name
        APPLIANCE = "appliance", _("appliance")  # fetches bundles at a customer; its messages are signed besides
        RISK = "risk", _("behaviour models")  # tells risk scores of the organisation of its name
        PORTAL = "portal", _("customer's portal")  # files complaints, as the customer of its name
        SERVICE = "service", _("service")  # asks models about sessions, keeps nothing here
        PERSON = "person", _("person's script")  # does what its owner may; approves nothing

    # an appliance enrols, a person makes his own
    MADE_BY_HAND = (Kind.SENSOR, Kind.SYSTEM, Kind.RISK, Kind.PORTAL, Kind.SERVICE)

    kind = models.CharField(max_length=9, choices=Kind.choices)
    name = models.CharField(max_length=100)  # of the sensor or of the system; what a person calls the script
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="tokens"
    )  # persons' only
    prefix = models.CharField(max_length=12, unique=True)  # the part that may be shown: which token it is
    digest = models.CharField(max_length=64)  # SHA-256 of the secret; 256 random bits need no slow hash
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)  # to five minutes: not a write per request

    objects = TokenQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="person", owner__isnull=False) | (~Q(kind="person") & Q(owner__isnull=True)),
                name="persons_tokens_have_owners",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.prefix})"


class AuditEntry(Evidence):
    """One thing somebody did."""

    SUBJECT_LENGTH = 255

    at = models.DateTimeField(default=timezone.now, editable=False)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=SUBJECT_LENGTH, blank=True)
    details = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            # read by models_registry.services.ledger_roles: few of many entries are about accounts
            models.Index(fields=["action", "id"], name="audit_by_action"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%F %T} {self.actor or '-'} {self.action} {self.subject}"
