"""Queues and the items in them."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from django.db import models
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from detection.selection import Cause, Cell
from labeling.models.raises import PriorityRaise
from models_registry.models import Detector, Version


class SubjectKind(models.TextChoices):
    SESSION = "session", _("session")
    ENTITY_DAY = "entity-day", _("entity's day")


class Queue(models.Model):
    """A line of items of one detector, chosen for one reason."""

    class Kind(models.TextChoices):
        """In the order of lists."""

        COMPLAINT = "complaint", _("complaints")
        UNIQUE = "unique", _("unique candidates")
        DISAGREEMENT = "disagreement", _("disagreement")  # versions differ
        UNCERTAIN = "uncertain", _("uncertain")  # scores close to the threshold
        MISSED = "missed", _("missed")  # rules hit, the model is silent
        HUNT = "hunt", _("hunts")  # what people found and sent
        DUMP = "dump", _("saved dumps")  # captures that came with a label, for a second pair of eyes
        RISK = "risk", _("hosts at risk")  # days of users and hosts, no sessions
        PROOF = "proof", _("proof")  # drawn at random; all others are hunted

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="queues")
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.UNIQUE)
    slug = models.SlugField(max_length=96, unique=True)  # "http-attacks-unique"
    labels_needed = models.PositiveSmallIntegerField(default=2)  # agreeing answers that settle an item
    raised_share = models.FloatField(default=0.0)  # of its items, by lot when they are made: these need one more
    # kept by increments (labeling.services.queues.move): counting a million open items is slow
    waiting = models.PositiveIntegerField(default=0)
    conflicts = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return f"{self.Kind(self.kind).label} · {self.detector}"


class QueueDay(models.Model):
    """What a queue took in on one day (UTC), and what had to stay out because the day's attention was spent."""

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="days")
    day = models.DateField()
    admitted = models.PositiveIntegerField(default=0)  # items
    left_out = models.PositiveIntegerField(default=0)  # items; their sessions stay on the board

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "day"], name="one_row_per_queue_and_day")]

    def __str__(self) -> str:
        return f"{self.queue} on {self.day}"


REASON_NAMES = {
    "unique-candidate": _("unique candidate"),
    "missed": _("missed by the model"),
    "disagreement": _("versions differ"),
    "uncertain": _("close to the threshold"),
    "hunt": _("sent from a hunt"),
    "dump": _("saved dump"),
    "proof": _("drawn for proof"),
    "complaint": _("complaint"),
    "unusual-day": _("unusual day"),
}


CELL_NAMES = {
    Cell.COVERED: _("covered"),
    Cell.UNIQUE: _("unique"),
    Cell.MISSED: _("missed"),
    Cell.QUIET: _("quiet"),
    Cell.UNINSPECTED_POSITIVE: _("positive, rules did not look"),
    Cell.UNINSPECTED_NEGATIVE: _("negative, rules did not look"),
}


CAUSE_NAMES = {
    Cause.MARGIN: _("by its score"),
    Cause.CLOSE: _("by closeness to the threshold"),
    Cause.HOSTS: _("by its hosts"),
    Cause.SESSIONS: _("by its sessions"),
    Cause.ROUND: _("after the first items of other hosts"),
    Cause.RAISED: _("raised"),
    Cause.DEADLINE: _("by its deadline"),
    Cause.LOT: _("in the order of the traffic"),
}


class ItemState(models.TextChoices):
    OPEN = "open", _("open")
    CONFLICT = "conflict", _("conflict")  # answers differ: a senior expert decides
    RETURNED = "returned", _("returned")  # a senior asks those whose answers differ once more
    SETTLED = "settled", _("settled")
    SEED = "seed", _("open")  # a settled case, once more and blind: to its expert an open item like any other
    EXPIRED = "expired", _("expired")  # nobody looked at it for 14 days; opens again when its look comes again


class NotAdmitted(models.TextChoices):
    """Why a settled item did not become a reference row."""

    UNDECIDED = "undecided", _("nobody could tell")
    ONE_EXPERT = "one-expert", _("fewer than two experts agree")
    PAIR_IS_IN = "pair-is-in", _("a row of this look and host is in the set already")
    DAY_IS_FULL = "day-is-full", _("three rows of this look and day are in the set already")
    CHECK_WAITS = "check-waits", _("a look-alike drawn as a check is not answered yet")


class ItemQuerySet(models.QuerySet["Item"]):
    """States are literals in SQL: with a parameter the planner cannot prove that a partial index applies."""

    def waiting(self) -> ItemQuerySet:
        return self._in_state("open")

    def in_conflict(self) -> ItemQuerySet:
        return self._in_state("conflict")

    def returned(self) -> ItemQuerySet:
        return self._in_state("returned")

    def settled(self) -> ItemQuerySet:
        return self._in_state("settled")

    def _in_state(self, state: str) -> ItemQuerySet:
        return cast(ItemQuerySet, self.extra(where=[f"labeling_item.state = '{state}'"]))  # noqa: S610 - ours

    def expired(self) -> ItemQuerySet:
        return self._in_state("expired")

    def of_sessions(self) -> ItemQuerySet:
        """Items that have a record, scores and a look; the day of a user or host has none."""
        return self.exclude(subject_kind=SubjectKind.ENTITY_DAY)

    def for_reference(self) -> ItemQuerySet:
        """The mailbox of labeling.services.reference.grow."""
        return self.settled().filter(reference_checked_at=None, subject_kind=SubjectKind.SESSION)

    def take_for_reference(self, pk: int) -> bool:
        """Mark one item as checked; False when somebody was faster. Call inside atomic()."""
        return self.for_reference().filter(pk=pk).update(reference_checked_at=timezone.now()) == 1


class Item(models.Model):
    """A case in a queue, standing for all sessions of one fingerprint. Narrow: the record lies in ItemRecord."""

    # the single columns of these two begin other indexes
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="items", db_index=False)
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="items", db_index=False)
    # whose verdict brought it; none brings a day of a user or host
    version = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, related_name="items")
    subject_kind = models.CharField(max_length=12, choices=SubjectKind.choices, default=SubjectKind.SESSION)
    subject_key = models.CharField(max_length=200)  # sessions: sensor|flow_id|tx_id|start in microseconds
    cell = models.CharField(max_length=24)  # of the board: detection.selection.Cell
    shape = models.CharField(max_length=64)  # look-alike key without detector and cell (reference rows need it)
    fingerprint = models.CharField(max_length=64)  # hash of (detector, cell, shape)
    title = models.CharField(max_length=255)  # "GET intranet.example/cgi-bin/N", for lists
    reason = models.CharField(max_length=24)  # detection.selection.Reason
    decision = models.JSONField(default=dict)  # policy and figures that chose it: score, threshold, rule verdict
    # of what brought it, as `decision` says: narrow, for filters
    score = models.GeneratedField(
        expression=Cast(KT("decision__score"), models.FloatField()),
        output_field=models.FloatField(null=True),
        db_persist=True,
    )
    sensor = models.CharField(
        max_length=100, blank=True
    )  # of the session that is judged; others of the group may differ
    source = models.CharField(max_length=100, blank=True)
    priority = models.FloatField(default=0)  # higher first
    cause = models.CharField(max_length=12, db_default="", default="")  # of the number: detection.selection.Cause
    # included in the number; indexed below
    raised_by = models.ForeignKey(
        PriorityRaise, on_delete=models.PROTECT, null=True, related_name="items", db_index=False
    )
    sessions = models.PositiveIntegerField(default=1)
    hosts = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    labels_needed = models.PositiveSmallIntegerField(null=True)  # null: as many as the queue says
    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.OPEN)
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="claims", db_index=False
    )
    claimed_until = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(null=True)  # when the holder saw it: time per label is measured here
    disputed_at = models.DateTimeField(null=True)  # since when its answers differ
    outcome = models.CharField(max_length=12, blank=True)  # positive / negative / undecided, once settled
    settled_at = models.DateTimeField(null=True)
    reference_checked_at = models.DateTimeField(null=True)  # mailbox of labeling.services.reference.grow
    not_admitted = models.CharField(max_length=24, choices=NotAdmitted.choices, blank=True)  # why grow made no row
    late_hit_at = models.DateTimeField(null=True)  # a rule hit on its subject arrived after it was made
    recheck_at = models.DateTimeField(null=True)  # an answer expired: the item is asked about again
    # the newest label when a look-alike was answered differently: a senior's later answer decides
    contested_after = models.BigIntegerField(null=True)
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
            # read by labeling.services.claims: what an expert holds
            models.Index(
                fields=["claimed_by", "queue"], name="item_held", condition=models.Q(claimed_by__isnull=False)
            ),
            # read by labeling.services.filters: the largest group first
            models.Index(
                fields=["queue", "-sessions", "id"], name="item_open_by_size", condition=models.Q(state="open")
            ),
            # read by labeling.services.claims (seniors) and the queue page
            models.Index(
                fields=["queue", "-priority", "id"],
                name="item_conflict_by_priority",
                condition=models.Q(state="conflict"),
            ),
            # read by labeling.services.priorities
            models.Index(fields=["raised_by"], name="item_raised", condition=models.Q(raised_by__isnull=False)),
            # read by the queue page
            models.Index(
                fields=["queue", "-settled_at", "-id"], name="item_settled", condition=models.Q(state="settled")
            ),
            # read by labeling.services.groups
            models.Index(fields=["detector", "shape"], name="item_open_by_shape", condition=models.Q(state="open")),
            # read by labeling.services.conflicts: the longest first
            models.Index(
                fields=["disputed_at", "id"], name="item_conflict_by_age", condition=models.Q(state="conflict")
            ),
            models.Index(
                fields=["disputed_at", "id"], name="item_returned_by_age", condition=models.Q(state="returned")
            ),
            # read by labeling.services.late_hits
            models.Index(fields=["subject_key"], name="item_by_subject"),
            # read by labeling.services.surroundings: items that look alike, whatever was said of them
            models.Index(fields=["detector", "shape", "-id"], name="item_by_shape"),
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
    def needed(self) -> int:
        """How many equal answers settle the item."""
        return self.labels_needed or self.queue.labels_needed

    @property
    def is_proof(self) -> bool:
        """Whether it was drawn to prove a version: whoever may answer it sees the session and nothing else."""
        return self.queue.kind == Queue.Kind.PROOF

    @property
    def flagged(self) -> bool:
        """Whether the model gave a verdict: a negative answer then says why it is wrong."""
        return self.is_entity_day or self.cell in (Cell.UNIQUE, Cell.COVERED, Cell.UNINSPECTED_POSITIVE)

    @property
    def judged(self) -> Version:
        """The version whose verdict brought it. Raises Version.DoesNotExist for a day of a user or host."""
        if self.version is None:
            raise Version.DoesNotExist(f"no version brought {self}")
        return self.version

    @property
    def is_entity_day(self) -> bool:
        """Whether it is about a day of a user or host, and not about a session."""
        return self.subject_kind == SubjectKind.ENTITY_DAY

    @property
    def reason_name(self) -> str:
        """Why it is here, for people."""
        return str(REASON_NAMES.get(self.reason, self.reason))

    @property
    def cause_name(self) -> str:
        """What its place in the queue comes from, for people."""
        if self.raised_by_id is not None and self.raised_by is not None:
            return str(_("raised: %(cause)s") % {"cause": self.raised_by.cause})
        return str(CAUSE_NAMES.get(Cause(self.cause), "")) if self.cause else ""

    @property
    def policy_version(self) -> int | None:
        """Of the policy that chose it; None where none is stored."""
        version = self.decision.get("policy", {}).get("version")
        return version if isinstance(version, int) else None

    @property
    def rules_hit(self) -> bool:
        return self.cell in (Cell.COVERED, Cell.MISSED)

    @property
    def rules_said(self) -> str:
        if self.rules_hit:
            return str(_("rules hit"))
        return str(_("rules clean") if self.cell in (Cell.UNIQUE, Cell.QUIET) else _("rules did not look"))

    @property
    def is_unique_detect(self) -> bool:
        return self.cell == Cell.UNIQUE and self.outcome == "positive"

    @property
    def is_false_positive(self) -> bool:
        return self.flagged and self.outcome == "negative"

    @property
    def outcome_name(self) -> str:
        """What a settled item turned out to be."""
        if self.is_unique_detect:
            return str(_("unique detect"))
        if self.is_false_positive:
            return str(_("false positive"))
        names = {"positive": self.detector.positive_class, "negative": self.detector.negative_class}
        return names.get(self.outcome) or str(_("cannot tell"))

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
    spread = models.TextField(blank=True)  # labeling.services.spread: sessions of the group by time and sensor
    rule_set = models.CharField(max_length=255, blank=True)  # "et-open (26,694 rules)"

    def __str__(self) -> str:
        return f"record of {self.item_id}"


class ItemHost(models.Model):
    """One source host inside an item's group."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="group_hosts")
    host = models.CharField(max_length=64)  # source address
    sessions = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["item", "host"], name="one_row_per_item_and_host")]
        indexes = [
            # read by labeling.services.surroundings: other items of a host, the newest first
            # read by triage.services.search: items of hosts that start alike (in the order of PostgreSQL's patterns)
            models.Index(
                fields=["host", "-item"], name="item_host_by_host", opclasses=["varchar_pattern_ops", "int8_ops"]
            ),
        ]

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
