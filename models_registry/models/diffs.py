"""Verdict diffs: which sessions of a week two versions disagree about, look by look, and what people said of them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from accounts.roles import Role
from detection.filters import quoted
from models_registry.models.versions import Version


class VerdictDiff(Evidence):
    """A version at a threshold beside the active one, on stored traffic of some days. Added, never edited."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="diffs")
    threshold = models.FloatField()
    against = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")  # active then
    against_threshold = models.FloatField()
    since = models.DateTimeField()
    until = models.DateTimeField()
    gained = models.PositiveIntegerField()  # sessions that this version alone flags
    gained_hosts = models.PositiveIntegerField()
    gained_asked = models.TextField()  # the filter that opens them in a hunt
    lost = models.PositiveIntegerField()  # sessions that the active one alone flags
    lost_hosts = models.PositiveIntegerField()
    lost_asked = models.TextField()
    digest = models.CharField(max_length=64)  # of all above and the groups
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["version", "digest"], name="one_diff_per_result")]

    def __str__(self) -> str:
        return f"{self.version} beside {self.against}: +{self.gained:,} −{self.lost:,}"


class Direction(models.TextChoices):
    GAINED = "gained", _("new")
    LOST = "lost", _("lost")


class DiffGroup(Evidence):
    """Sessions of one look that flip in one direction."""

    diff = models.ForeignKey(VerdictDiff, on_delete=models.PROTECT, related_name="groups")
    direction = models.CharField(max_length=6, choices=Direction.choices)
    shape = models.CharField(max_length=64)  # detection.fingerprint.shape_of; empty: looks beyond the largest
    title = models.CharField(max_length=255)
    look = models.TextField(blank=True)  # of the shape, as a filter names it
    sessions = models.PositiveIntegerField()
    hosts = models.PositiveIntegerField()
    rules_hit = models.PositiveIntegerField()  # sessions that rules hit
    score = models.FloatField(null=True)  # the highest of this version; none: not scored
    against_score = models.FloatField(null=True)
    rids = models.JSONField()  # newest sessions, some

    class Meta:
        ordering = ["direction", "-sessions", "id"]

    def __str__(self) -> str:
        return f"{self.get_direction_display()}: {self.title}"

    @property
    def asked(self) -> str:
        """The filter that opens its sessions in a hunt; empty for looks beyond the largest."""
        all_of_them = self.diff.gained_asked if self.direction == Direction.GAINED else self.diff.lost_asked
        return f"{all_of_them} and look == {quoted(self.look)}" if self.look else ""


class DiffReview(Evidence):
    """Somebody looked at a group: it is as it should be, or experts label it."""

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", _("accepted")
        LABEL = "label", _("sent to experts")

    group = models.ForeignKey(DiffGroup, on_delete=models.PROTECT, related_name="reviews")
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    note = models.CharField(max_length=255, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16, choices=Role.choices)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.group}: {self.outcome}"
