"""Long work as rows: the database is the truth about jobs, brokers only wake workers up."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    SKIPPED = "skipped", _("skipped")  # decided against, with the reason in the result


LIVE = (State.WAITING, State.RUNNING)


class JobQuerySet(models.QuerySet["Job"]):
    def live(self) -> JobQuerySet:
        """Waiting or running."""
        return self.filter(state__in=LIVE)

    def dead(self, now: datetime) -> JobQuerySet:
        """Running by their row, but nobody has renewed the lease."""
        return self.filter(state=State.RUNNING, lease_until__lt=now)

    def unheard(self, since: datetime) -> JobQuerySet:
        """Waiting, and no message was sent since then: the broker may have lost the last one."""
        return self.filter(state=State.WAITING).filter(Q(sent_at=None) | Q(sent_at__lt=since))

    def takeable(self, now: datetime) -> JobQuerySet:
        """Waiting, or left behind by a worker that died."""
        return self.filter(Q(state=State.WAITING) | Q(state=State.RUNNING, lease_until__lt=now), cancel_asked_at=None)


class Job(models.Model):
    """One run of long work. Live jobs are unique by run key, so asking twice starts it once."""

    kind = models.CharField(max_length=32)  # what people call it: "retrain", "score candidate"
    run_key = models.CharField(max_length=200)
    task = models.CharField(max_length=100)  # name of the Celery task that gets the job's pk
    arguments = models.JSONField(default=dict)
    queue = models.CharField(max_length=16)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(max_length=100, blank=True)  # who holds the lease: host:pid:random
    done = models.PositiveBigIntegerField(default=0)  # progress, in the unit of the kind
    total = models.PositiveBigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)  # of the last message to the broker
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cancel_asked_at = models.DateTimeField(null=True)
    result = models.JSONField(default=dict)  # while running: facts a second run starts from
    error = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["run_key"], condition=Q(state__in=["waiting", "running"]), name="one_live_job_per_run_key"
            )
        ]
        indexes = [
            models.Index(fields=["state", "lease_until"], name="job_by_state"),  # the sweeper
            models.Index(fields=["run_key"], name="job_by_run_key"),  # has it ever run?
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.run_key}"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    @property
    def percent(self) -> int | None:
        """Progress, rounded down; None where nothing is known of it."""
        return 100 * self.done // self.total if self.total and self.state == State.RUNNING else None

    def expected_end(self, now: datetime) -> datetime | None:
        """Return when the work will be done if it goes on as it went."""
        if self.state != State.RUNNING or not self.started_at or not 0 < self.done <= self.total:
            return None
        return now + (now - self.started_at) * ((self.total - self.done) / self.done)

    def took(self, now: datetime) -> timedelta | None:
        """Return how long it ran, or has been running."""
        return (self.finished_at or now) - self.started_at if self.started_at else None


class PartQuerySet(models.QuerySet["Part"]):
    def takeable(self, now: datetime) -> PartQuerySet:
        """Waiting, or left behind by a worker that died."""
        return self.filter(Q(state=State.WAITING) | Q(state=State.RUNNING, lease_until__lt=now))

    def open(self) -> PartQuerySet:
        return self.filter(state__in=LIVE)


class Part(models.Model):
    """One piece of a job that several workers share, each piece under a lease of its own."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="parts")
    key = models.CharField(max_length=64)  # what the task makes of it: a segment's pk
    size = models.PositiveBigIntegerField(default=1)  # what it adds to the job's progress
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(max_length=100, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)

    objects = PartQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["job", "key"], name="one_part_per_key")]
        indexes = [models.Index(fields=["job", "state", "id"], name="part_by_state")]  # taking the next one

    def __str__(self) -> str:
        return f"{self.job}: {self.key}"


class Line(models.Model):
    """What a job said of itself, step by step. Added by jobs.services.lines, which bounds them."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="lines")
    at = models.DateTimeField(default=timezone.now)
    text = models.CharField(max_length=500)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class TickQuerySet(models.QuerySet["Tick"]):
    def free(self, now: datetime) -> TickQuerySet:
        """Held by nobody, or by somebody who died."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lt=now))


class Tick(models.Model):
    """A periodic task: who runs it now, and how it went last time."""

    name = models.CharField(max_length=100, unique=True)
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(max_length=100, blank=True)
    started_at = models.DateTimeField(null=True)  # of the newest run
    finished_at = models.DateTimeField(null=True)  # of the newest run that went well
    runs = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True)  # of the newest run
    failed_at = models.DateTimeField(null=True)

    objects = TickQuerySet.as_manager()

    class Meta:
        ordering = [F("started_at").desc(nulls_last=True), "name"]

    def __str__(self) -> str:
        return self.name
