"""Lists of known-bad things, by version, and where segments matched them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from traffic.models import Segment


class IndicatorList(models.Model):
    """A list under one name; its newest version is in force until it is withdrawn."""

    class Kind(models.TextChoices):
        """detection.indicators.Kind, for people."""

        DOMAIN = "domain", _("domains")
        ADDRESS = "address", _("addresses")
        JA3 = "ja3", _("JA3")
        CERT_SHA1 = "cert-sha1", _("certificates (SHA-1)")

    name = models.SlugField(max_length=64, unique=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    # popular domains, known programs: shown beside a session, matched with no segment
    is_hint = models.BooleanField(default=False)
    withdrawn_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def newest(self) -> IndicatorListVersion:
        found = self.versions.order_by("-number").first()
        if found is None:
            raise IndicatorListVersion.DoesNotExist(f"{self.name} has no version")
        return found


class IndicatorListVersion(Evidence):
    """What was imported once, known by the SHA-256 of the file."""

    indicator_list = models.ForeignKey(IndicatorList, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    path = models.CharField(max_length=255)  # JSON lines: [entry, note]
    entries = models.PositiveIntegerField()
    skipped = models.PositiveIntegerField(default=0)
    examples = models.JSONField(default=list)  # of what was skipped
    imported_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    imported_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["indicator_list", "number"]
        constraints = [models.UniqueConstraint(fields=["indicator_list", "number"], name="one_list_version_per_number")]

    def __str__(self) -> str:
        return f"{self.indicator_list}:{self.number}"


class IndicatorMatch(models.Model):
    """Which sessions of a segment match the lists in force. A derivation: other lists, and it is made again."""

    segment = models.OneToOneField(Segment, on_delete=models.CASCADE, related_name="indicator_match")
    state = models.CharField(max_length=64)  # digest of the lists that were in force
    path = models.CharField(max_length=255, blank=True)  # detection.indicators.HIT_SCHEMA; empty: no session matches
    hits = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict)  # "v" and the version of a list → hits
    matched_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            # read by models_registry.services.indicators: segments with hits, newest first
            models.Index(fields=["-segment"], name="indicator_match_with_hits", condition=models.Q(hits__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.hits} hits in {self.segment}"
