"""Who may come in, and what they did."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence
from accounts.roles import Role


class UserManager(DjangoUserManager["User"]):
    def create_superuser(self, *args: Any, **kwargs: Any) -> User:
        kwargs.setdefault("role", Role.ADMINISTRATOR)
        return super().create_superuser(*args, **kwargs)


class User(AbstractUser):
    """A person. Machines have tokens, not users."""

    role = models.CharField(max_length=16, choices=Role.choices, default=Role.AUDITOR)  # the role that changes nothing
    single_keys = models.BooleanField(default=True)  # WCAG 2.1.4: single-key shortcuts can be switched off

    objects: ClassVar[UserManager] = UserManager()

    def has_role(self, *roles: Role | str) -> bool:
        return self.is_active and self.role in roles


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

    def __str__(self) -> str:
        return f"{self.at:%F %T} {self.actor or '-'} {self.action} {self.subject}"
