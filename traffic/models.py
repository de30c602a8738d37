"""Where sessions came from and in which files they lie. Sessions themselves are Parquet, never rows here."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Token

ALIVE = timedelta(seconds=60)  # a consumer beats every 5 s, but not while it stores a large window


class RuleSet(models.Model):
    """The rules a sensor ran. `declared` sets came as a rule file; the other kind is inferred from alerts seen."""

    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of the rule file
    name = models.CharField(max_length=255)
    rules = models.PositiveIntegerField(default=0)
    declared = models.BooleanField(default=True)
    index_path = models.CharField(max_length=255, blank=True)  # stored JSON lines: sid, msg, classtype, priority
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class Sensor(models.Model):
    """A source of sessions."""

    name = models.CharField(max_length=100, unique=True)
    rule_set = models.ForeignKey(RuleSet, on_delete=models.PROTECT, null=True, blank=True, related_name="sensors")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class Kind(models.TextChoices):
    """What a log tells about."""

    TRAFFIC = "traffic", _("traffic")  # what a sensor saw in the network
    DUMP = "dump", _("dump")  # a saved capture: judged, but never counted as traffic


class IntakeQuerySet(models.QuerySet["Intake"]):
    def with_late_hits(self) -> IntakeQuerySet:
        """The mailbox of traffic.services.late_hits: hits without session, which a session stored before may have."""
        return self.filter(hits_collected_at=None, kind=Kind.TRAFFIC).exclude(orphans_path="")


class Intake(models.Model):
    """A file that was read to its end. The digest makes a second reading of the same bytes harmless."""

    # SHA-256 of the bytes as received; of a stream's window, which may hold equal bytes again, that of its name
    digest = models.CharField(max_length=64, unique=True)
    path = models.CharField(max_length=1000)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.TRAFFIC)
    sensor = models.ForeignKey(Sensor, on_delete=models.PROTECT, related_name="intakes")
    lines = models.BigIntegerField(default=0)
    http = models.BigIntegerField(default=0)
    tls = models.BigIntegerField(default=0)
    rule_hits = models.BigIntegerField(default=0)
    # hits whose session was not in the file; with a stream those of the window before, which are only known now
    orphan_hits = models.BigIntegerField(default=0)
    late_hits = models.BigIntegerField(default=0)  # of these, how many found a session later
    rejected = models.BigIntegerField(default=0)
    other = models.JSONField(default=dict)  # event types that are not read, with their counts
    reject_reasons = models.JSONField(default=dict)
    quarantine_path = models.CharField(max_length=255, blank=True)
    orphans_path = models.CharField(max_length=255, blank=True)
    hits_collected_at = models.DateTimeField(null=True)
    hits_first_at = models.DateTimeField(
        null=True
    )  # when the sessions of its hits may have begun; empty: nothing waits
    hits_last_at = models.DateTimeField(null=True)
    replay_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="replays")
    seconds = models.FloatField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    objects = IntakeQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            # read by traffic.services.late_hits
            models.Index(
                fields=["id"],
                name="intake_with_late_hits",
                condition=models.Q(hits_collected_at=None) & ~models.Q(orphans_path=""),
            ),
            models.Index(
                fields=["sensor", "hits_last_at"],
                name="intake_hits_by_time",
                condition=models.Q(hits_last_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def sessions(self) -> int:
        return self.http + self.tls

    @property
    def hits_without_session(self) -> int:
        return self.orphan_hits - self.late_hits


class SegmentQuerySet(models.QuerySet["Segment"]):
    def sealed(self) -> SegmentQuerySet:
        """Segments whose file was read to its end and is still here; the only ones that anybody may use."""
        return self.filter(sealed_at__isnull=False, deleted_at=None)

    def of_traffic(self) -> SegmentQuerySet:
        """Sealed segments of what was seen in the network: saved dumps say nothing about how often a thing occurs."""
        return self.sealed().filter(kind=Kind.TRAFFIC)

    def merged_before(self, moment: datetime) -> SegmentQuerySet:
        """Segments that became part of another one; their files may still be read for a while."""
        return self.filter(merged_into__isnull=False, deleted_at__lt=moment)

    def unasked(self) -> SegmentQuerySet:
        """The mailbox of traffic.services.late_hits: segments that hits which came before them may belong to."""
        return self.of_traffic().filter(hits_asked_at=None)


class Segment(models.Model):
    """An immutable Parquet file of sessions from one sensor. One that was merged is gone, as one deleted by age is."""

    sensor = models.ForeignKey(Sensor, on_delete=models.PROTECT, related_name="segments")
    intake = models.ForeignKey(Intake, on_delete=models.PROTECT, null=True, related_name="segments")
    source = models.CharField(max_length=100)  # what leave-one-source-out leaves out: file stem, or sensor for streams
    protocol = models.CharField(max_length=16, default="http")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.TRAFFIC)
    rule_set = models.ForeignKey(RuleSet, on_delete=models.PROTECT, null=True, related_name="segments")  # null: unknown
    sessions_path = models.CharField(max_length=255)
    raw_path = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)  # SHA-256 of the sessions file
    geo_digest = models.CharField(max_length=64, blank=True)  # of the source of dst_org; empty: there was none to ask
    rows = models.PositiveIntegerField()
    first_at = models.DateTimeField(null=True)  # time span of the sessions
    last_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    sealed_at = models.DateTimeField(null=True)  # empty until the whole file was read
    # traffic.services.retention: the row stays, its paths become empty with the files
    raw_deleted_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    # traffic.services.compaction: sorted by host and time, of several segments, which say what became of them
    compacted_at = models.DateTimeField(null=True)
    merged_into = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="merged")
    hits_asked_at = models.DateTimeField(null=True)
    late_hits = models.PositiveIntegerField(default=0)  # rows of LateHit: who copied hits compares

    objects = SegmentQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["protocol", "last_at"], name="segment_by_time"),  # board windows, hunts
            # read by traffic.services.late_hits
            models.Index(fields=["sensor", "last_at"], name="segment_of_sensor_by_time"),
            models.Index(
                fields=["id"],
                name="segment_unasked",
                condition=models.Q(hits_asked_at=None, sealed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source}#{self.pk}"

    @property
    def kept_in(self) -> Segment:
        """Where its sessions lie now: in itself, or in what it was merged into."""
        return self if self.merged_into is None else self.merged_into.kept_in

    @property
    def raw_kept_days(self) -> int | None:
        """How many days its raw lines were kept; None while they are here."""
        return None if self.raw_deleted_at is None else (self.raw_deleted_at - self.created_at).days


class Stream(models.Model):
    """One consumer of one endless log, as it was heard of last. Nothing is decided by this row."""

    class State(models.TextChoices):
        READING = "reading", _("reading")
        WAITING = "waiting", _("another consumer reads")
        HELD = "held", _("held back")
        STOPPED = "stopped", _("stopped")

    name = models.CharField(max_length=500, unique=True)
    sensor = models.ForeignKey(Sensor, on_delete=models.PROTECT, related_name="streams")
    spool = models.CharField(max_length=64, blank=True)  # token of the spool it fills
    state = models.CharField(max_length=16, choices=State.choices, default=State.READING)
    reason = models.CharField(max_length=255, blank=True)  # why it is held back, or cannot store
    lag = models.BigIntegerField(default=0)  # what waits unread
    unit = models.CharField(max_length=16)  # of lag: lines, entries, bytes
    spool_bytes = models.BigIntegerField(default=0)
    seen_at = models.DateTimeField(default=timezone.now)  # its process lived
    caught_up_at = models.DateTimeField(default=timezone.now)  # nothing more waited
    line_at = models.DateTimeField(null=True)  # a line came
    # where the last stored window ended: should the spool be lost, a file is read on from here
    position = models.JSONField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def is_alive(self, now: datetime) -> bool:
        """Return whether its process was heard of lately, and did not say goodbye."""
        return self.state != self.State.STOPPED and now - self.seen_at < ALIVE


class OutsideHitQuerySet(models.QuerySet["OutsideHit"]):
    def uncollected(self) -> OutsideHitQuerySet:
        """The mailbox of whoever corrects counts and items; hits whose session is not here yet stay in it."""
        return self.filter(collected_at=None)

    def of_session(self, session_key: str) -> OutsideHitQuerySet:
        return self.filter(session_key=session_key).order_by("id")


class OutsideHit(models.Model):
    """What another expert system said about a session: a rule hit of that system, never a label.

    It may come before its session, or after it; `detection.sessions.session_key` joins them."""

    system = models.CharField(max_length=100)  # the name its token carries
    session_key = models.CharField(max_length=200)
    sensor = models.CharField(max_length=100)  # the parts of the key, to find the segment by
    flow_id = models.BigIntegerField()
    tx_id = models.BigIntegerField(null=True)
    start = models.BigIntegerField()  # microseconds since 1970 UTC
    rule_id = models.CharField(max_length=100)
    rule_name = models.CharField(max_length=255, blank=True)
    at = models.DateTimeField()  # when that system said so
    token = models.ForeignKey(Token, on_delete=models.PROTECT, null=True, related_name="+")
    received_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(null=True)  # its session was looked for; once, then new segments ask
    collected_at = models.DateTimeField(null=True)

    objects = OutsideHitQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["session_key", "system", "rule_id"], name="one_hit_per_system_and_rule")
        ]
        indexes = [
            # read by traffic.services.late_hits
            models.Index(
                fields=["id"], condition=models.Q(collected_at=None, asked_at=None), name="outside_hit_mailbox"
            ),
            models.Index(fields=["sensor", "start"], condition=models.Q(collected_at=None), name="outside_hit_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.system}: {self.rule_id} on {self.session_key}"


class LateHit(models.Model):
    """A rule hit on a session whose segment was sealed already: it lies beside, the segment stays as it is.

    `traffic.services.segments` shows both as one."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="hits_beside")
    row = models.PositiveIntegerField()
    mark = models.CharField(max_length=64)  # of the hit: the same one twice on a session counts once
    value = models.TextField()  # HIT_FIELDS as JSON text, which may hold NUL
    intake = models.ForeignKey(Intake, on_delete=models.SET_NULL, null=True, related_name="+")  # where it came from,
    number = models.PositiveBigIntegerField(null=True)  # its line among the hits without session there,
    times = models.PositiveIntegerField(default=1)  # and how many lines said the same
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["segment", "row", "mark"], name="one_late_hit_per_session")]

    def __str__(self) -> str:
        return f"late hit on {self.segment} row {self.row}"
