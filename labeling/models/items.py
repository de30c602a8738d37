"""Queues and the items in them."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from detection.selection import Cell
from models_registry.models import Detector, Version


class SubjectKind(models.TextChoices):
    SESSION = "session", _("session")
    ENTITY_DAY = "entity-day", _("entity's day")


class Queue(models.Model):
    """A line of items of one detector, chosen for one reason."""

    class Kind(models.TextChoices):
        UNIQUE = "unique", _("unique candidates")

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="queues")
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.UNIQUE)
    slug = models.SlugField(max_length=96, unique=True)  # "http-attacks-unique"
    labels_needed = models.PositiveSmallIntegerField(default=2)  # agreeing answers that settle an item

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.detector}"


class ItemState(models.TextChoices):
    OPEN = "open", _("open")
    CONFLICT = "conflict", _("conflict")  # answers differ: a senior expert decides
    SETTLED = "settled", _("settled")


class NotAdmitted(models.TextChoices):
    """Why a settled item did not become a reference row."""

    UNDECIDED = "undecided", _("nobody could tell")
    ONE_EXPERT = "one-expert", _("fewer than two experts agree")
    PAIR_IS_IN = "pair-is-in", _("a row of this look and host is in the set already")
    DAY_IS_FULL = "day-is-full", _("three rows of this look and day are in the set already")


class ItemQuerySet(models.QuerySet["Item"]):
    """States are literals in SQL: with a parameter the planner cannot prove that a partial index applies."""

    def waiting(self) -> ItemQuerySet:
        return self._in_state("open")

    def in_conflict(self) -> ItemQuerySet:
        return self._in_state("conflict")

    def settled(self) -> ItemQuerySet:
        return self._in_state("settled")

    def _in_state(self, state: str) -> ItemQuerySet:
        return cast(ItemQuerySet, self.extra(where=[f"labeling_item.state = '{state}'"]))  # noqa: S610 - ours

    def for_reference(self) -> ItemQuerySet:
        """The mailbox of labeling.services.reference.grow."""
        return self.settled().filter(reference_checked_at=None)

    def take_for_reference(self, pk: int) -> bool:
        """Mark one item as checked; False when somebody was faster. Call inside atomic()."""
        return self.for_reference().filter(pk=pk).update(reference_checked_at=timezone.now()) == 1


class Item(models.Model):
    """A case in a queue, standing for all sessions of one fingerprint. Narrow: the record lies in ItemRecord."""

    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="items")
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="items")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="items")  # whose verdict brought it
    subject_kind = models.CharField(max_length=12, choices=SubjectKind.choices, default=SubjectKind.SESSION)
    subject_key = models.CharField(max_length=200)  # sessions: sensor|flow_id|tx_id|start in microseconds
    cell = models.CharField(max_length=24)  # of the board: detection.selection.Cell
    shape = models.CharField(max_length=64)  # look-alike key without detector and cell (reference rows need it)
    fingerprint = models.CharField(max_length=64)  # hash of (detector, cell, shape)
    title = models.CharField(max_length=255)  # "GET intranet.example/cgi-bin/N", for lists
    reason = models.CharField(max_length=24)  # detection.selection.Reason
    decision = models.JSONField(default=dict)  # policy and figures that chose it: score, threshold, rule verdict
    priority = models.FloatField(default=0)  # higher first
    sessions = models.PositiveIntegerField(default=1)
    hosts = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.OPEN)
    claimed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="claims")
    claimed_until = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(null=True)  # when the holder saw it: time per label is measured here
    outcome = models.CharField(max_length=12, blank=True)  # positive / negative / undecided, once settled
    settled_at = models.DateTimeField(null=True)
    reference_checked_at = models.DateTimeField(null=True)  # mailbox of labeling.services.reference.grow
    not_admitted = models.CharField(max_length=24, choices=NotAdmitted.choices, blank=True)  # why grow made no row
    created_at = models.DateTimeField(default=timezone.now)

    objects = ItemQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "fingerprint"], name="one_item_per_fingerprint")]
        indexes = [
            # read by labeling.services.claims and the queue page
            models.Index(
                fields=["queue", "-priority", "id"], name="item_open_by_priority", condition=models.Q(state="open")
            ),
            # read by labeling.services.queues: age of the oldest open item
            models.Index(fields=["queue", "created_at"], name="item_open_by_age", condition=models.Q(state="open")),
            # read by labeling.services.claims (seniors) and the queue page
            models.Index(
                fields=["queue", "-priority", "id"],
                name="item_conflict_by_priority",
                condition=models.Q(state="conflict"),
            ),
            # read by the queue page
            models.Index(
                fields=["queue", "-settled_at", "-id"], name="item_settled", condition=models.Q(state="settled")
            ),
            # read by labeling.services.reference.grow
            models.Index(
                fields=["id"],
                name="item_for_reference",
                condition=models.Q(state="settled", reference_checked_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def flagged(self) -> bool:
        """Whether the model gave a verdict: a negative answer then says why it is wrong."""
        return self.cell in (Cell.UNIQUE, Cell.COVERED, Cell.UNINSPECTED_POSITIVE)

    @property
    def holder(self) -> User | None:
        """Who holds the item now, if anybody."""
        held = self.claimed_until is not None and self.claimed_until > timezone.now()
        return self.claimed_by if held else None


class ItemRecord(models.Model):
    """Copies of what experts judge, so that traffic may delete by age without asking anyone.

    JSON is kept as text: PostgreSQL's jsonb refuses NUL characters, which attackers send."""

    item = models.OneToOneField(Item, on_delete=models.CASCADE, primary_key=True, related_name="record")
    row = models.TextField()  # the whole session row (detection.sessions), model inputs included
    raw = models.TextField()  # the line as received
    examples = models.TextField(default="[]")  # up to five other rows of the group
    scores = models.TextField(default="[]")  # [{"version", "stage", "score", "raw", "threshold", "verdict"}]
    rule_set = models.CharField(max_length=255, blank=True)  # "et-open (26,694 rules)"
    sensor = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=100, blank=True)

    def __str__(self) -> str:
        return f"record of {self.item_id}"


class ItemHost(models.Model):
    """One source host inside an item's group."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="group_hosts")
    host = models.CharField(max_length=64)  # source address
    sessions = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["item", "host"], name="one_row_per_item_and_host")]

    def __str__(self) -> str:
        return self.host


class Skip(models.Model):
    """An expert passed an item on; it comes back to the same expert after `until`."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="skips")
    expert = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["item", "expert"], name="one_skip_per_expert")]

    def __str__(self) -> str:
        return f"{self.expert} skipped {self.item_id}"
