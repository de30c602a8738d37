"""What sites count: windows as they were sent, sums of days, streams of days with the state of their statistics."""

from __future__ import annotations

import json
import zlib
from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from models_registry.models import Appliance, Bundle, Customer, Detector, Site, Version


class TelemetryWindow(models.Model):
    """One hour of one bundle on one appliance, kept as it came. A correction is a row of its own: the newest counts."""

    class Channel(models.TextChoices):
        NETWORK = "network", _("network")
        FILE = "file", _("file")

    appliance = models.ForeignKey(Appliance, on_delete=models.PROTECT, related_name="windows", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    hour = models.DateTimeField()  # it begins then
    day = models.DateField()  # UTC
    bundle_told = models.CharField(max_length=64)  # as the appliance calls it
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    protocol = models.CharField(max_length=16)
    scanned = models.PositiveBigIntegerField()  # sessions that some model scored
    counter = models.PositiveBigIntegerField()  # of the message
    message = models.BinaryField()  # the signed message, zlib
    channel = models.CharField(max_length=8, choices=Channel.choices, default=Channel.NETWORK)
    received_at = models.DateTimeField(default=timezone.now)
    summed_at = models.DateTimeField(null=True)  # mailbox of triage.services.telemetry.sums
    replaced_at = models.DateTimeField(null=True)  # by a newer message about the same hour

    class Meta:
        ordering = ["-hour", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["appliance", "counter"], name="one_window_per_message"),
            models.UniqueConstraint(
                fields=["appliance", "bundle_told", "hour"],
                condition=Q(replaced_at=None),
                name="one_current_window_per_hour",
            ),
        ]
        indexes = [
            # read by triage.services.telemetry.sums, and by pages of a site
            models.Index(fields=["customer", "day"], name="window_by_customer_and_day"),
            models.Index(fields=["day", "customer"], name="window_to_sum", condition=Q(summed_at=None)),
            models.Index(fields=["day", "customer"], name="window_replaced", condition=Q(replaced_at__isnull=False)),
            # what was heard last of a site
            models.Index(fields=["appliance", "-hour"], name="window_newest_of_appliance"),
        ]

    def __str__(self) -> str:
        return f"{self.appliance} {self.hour:%F %H}:00Z"

    @property
    def told(self) -> dict[str, Any]:
        """The message, in the words of the appliance."""
        found: dict[str, Any] = json.loads(zlib.decompress(bytes(self.message)))
        return found


class TelemetryDay(models.Model):
    """What all sites of a customer counted of one version on a UTC day. Written by triage.services.telemetry.sums."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="telemetry_days", db_index=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="telemetry_days", db_index=False)
    day = models.DateField()
    model_only = models.PositiveBigIntegerField(default=0)
    heuristic_only = models.PositiveBigIntegerField(default=0)
    both = models.PositiveBigIntegerField(default=0)
    neither = models.PositiveBigIntegerField(default=0)
    not_inspected = models.PositiveBigIntegerField(default=0)
    scanned = models.PositiveBigIntegerField(default=0)
    is_silent = models.BooleanField()  # in every window of the day
    windows = models.PositiveIntegerField(default=0)  # hours of sites behind it
    stepped_at = models.DateTimeField(null=True)  # mailbox of triage.services.telemetry.days

    class Meta:
        ordering = ["day"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "version", "day"], name="one_telemetry_day_per_version")
        ]
        indexes = [
            models.Index(fields=["version", "day"], name="telemetry_day_by_version"),
            models.Index(fields=["version", "day"], name="telemetry_day_to_step", condition=Q(stepped_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.customer} {self.version} {self.day}"


class PairDay(models.Model):
    """What all sites of a customer counted of two versions on the same sessions, on a UTC day."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    a = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+", db_index=False)
    b = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    both = models.PositiveBigIntegerField(default=0)
    only_a = models.PositiveBigIntegerField(default=0)
    only_b = models.PositiveBigIntegerField(default=0)
    neither = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "a", "b", "day"], name="one_pair_day_per_versions")]
        indexes = [models.Index(fields=["a", "b", "day"], name="pair_day_by_versions")]

    def __str__(self) -> str:
        return f"{self.customer} {self.a} {self.b} {self.day}"


class ScoreDay(models.Model):
    """How the scores of a version lay at one site on a UTC day: sessions by bin (detection.score_bins)."""

    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="score_days", db_index=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    sessions = models.PositiveBigIntegerField()
    counts = models.JSONField()  # bin of surprises → sessions

    class Meta:
        ordering = ["day"]
        constraints = [models.UniqueConstraint(fields=["site", "version", "day"], name="one_score_day_per_site")]
        indexes = [models.Index(fields=["version", "day"], name="score_day_by_version")]

    def __str__(self) -> str:
        return f"{self.site} {self.version} {self.day}"


class AlertBudget(models.Model):
    """How many sessions a day a detector may flag at a site, where that differs from what is usual."""

    site = models.OneToOneField(Site, on_delete=models.PROTECT, related_name="alert_budget")
    per_day = models.FloatField(validators=[MinValueValidator(0.01)])
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.site}: {self.per_day:g} a day"


class Stream(models.Model):
    """Successes in trials, day by day: of one version at one customer, or over the fleet (no customer)."""

    class Kind(models.TextChoices):
        EXCESS = "excess", _("excess")  # model only, of all that anybody flagged
        MISS = "miss", _("miss")  # rules only, of what rules flagged

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="streams")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="streams")
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="streams")  # the version's
    kind = models.CharField(max_length=6, choices=Kind.choices)
    is_silent = models.BooleanField(default=False)  # on its newest day: nobody at the customer sees it, no incident
    first_day = models.DateField()
    last_day = models.DateField(null=True)  # newest period that was stepped; None: none yet
    learning = models.PositiveSmallIntegerField()  # periods
    # in force for the next period
    a0 = models.FloatField()
    b0 = models.FloatField()
    phi = models.FloatField()
    is_fitted = models.BooleanField(default=False)  # prior and precision were fitted when learning ended
    volume = models.FloatField(null=True)  # of a fleet: its usual trials a period, from learning
    refit_on = models.DateField(null=True)  # of a fleet: the Sunday of its newest refit
    replay_from = models.DateField(null=True)  # of a fleet: mailbox of triage.services.telemetry.fleet

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "version", "kind"], name="one_stream_per_kind"),
            models.UniqueConstraint(
                fields=["version", "kind"], condition=Q(customer=None), name="one_fleet_stream_per_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer or '*'} {self.version} {self.kind}"


class StreamDay(models.Model):
    """One period of a stream: what was looked at, what it said, and the state after it. Replays write it anew."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="days", db_index=False)
    day = models.DateField()
    learned = models.PositiveIntegerField()  # periods since learning began, this one included
    x = models.PositiveBigIntegerField()
    n = models.PositiveBigIntegerField()
    is_learning = models.BooleanField()
    is_tested = models.BooleanField()
    is_frozen = models.BooleanField(default=False)  # an open incident: the reference learnt nothing
    # in force in the period
    a0 = models.FloatField()
    b0 = models.FloatField()
    phi = models.FloatField()
    mu = models.FloatField()  # reference before it
    # what it said
    statistic = models.FloatField()  # S after it, at most 1e300
    is_alarm = models.BooleanField(default=False)
    is_ticket = models.BooleanField(default=False)
    is_up = models.BooleanField(default=True)
    odds_ratio = models.FloatField(null=True)  # since the change, against mu; where tested
    changed_x = models.PositiveBigIntegerField(default=0)
    changed_n = models.PositiveBigIntegerField(default=0)
    since = models.DateField(null=True)  # first period of the change
    # the state after it
    ref_x = models.FloatField()  # decayed sums
    ref_n = models.FloatField()
    log_up = models.FloatField(null=True)  # None: minus infinity
    log_down = models.FloatField(null=True)
    up_x = models.PositiveBigIntegerField(default=0)
    up_n = models.PositiveBigIntegerField(default=0)
    down_x = models.PositiveBigIntegerField(default=0)
    down_n = models.PositiveBigIntegerField(default=0)
    up_since = models.DateField(null=True)
    down_since = models.DateField(null=True)

    class Meta:
        ordering = ["day"]
        constraints = [models.UniqueConstraint(fields=["stream", "day"], name="one_stream_day_per_period")]
        indexes = [
            # read by the fleet's rule: who alarmed lately
            models.Index(fields=["day"], name="stream_day_in_alarm", condition=Q(is_alarm=True)),
            # the page of the fleet: what changed most by a day
            models.Index(fields=["day", "-statistic", "stream"], name="stream_day_by_statistic"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.day}: {self.x}/{self.n}"

    @property
    def ratio(self) -> float | None:
        return self.x / self.n if self.n else None


class StreamRestart(Evidence):
    """From the next period on a stream begins anew: U = D = 0, with `reference` also X = N = 0 and learning."""

    stream = models.ForeignKey(Stream, on_delete=models.PROTECT, related_name="restarts")
    after = models.DateField()  # newest period then
    reference = models.BooleanField()
    reason = models.CharField(max_length=20)  # a closing choice
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.stream} after {self.after}: {self.reason}"


class PrecisionFit(Evidence):
    """The weekly refit of phi for all streams of a kind of a detector: mandatory, also where nothing changed."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="precision_fits")
    kind = models.CharField(max_length=6, choices=Stream.Kind.choices)
    day = models.DateField()  # the Sunday up to which periods count
    phi = models.FloatField()  # of the fleet
    streams = models.PositiveIntegerField()
    periods = models.PositiveIntegerField()
    own = models.PositiveIntegerField()  # streams whose own precision is the smaller
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["detector", "kind", "day"], name="one_precision_fit_per_week")]

    def __str__(self) -> str:
        return f"{self.detector} {self.kind} {self.day}: {self.phi:.0f}"


class FalseIncidentRate(Evidence):
    """How many false incidents a week the whole fleet may raise. The newest is in force."""

    per_week = models.FloatField(validators=[MinValueValidator(0.001)])
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(per_week__gt=0), name="false_incidents_are_never_ruled_out")]

    def __str__(self) -> str:
        return f"{self.per_week:g} a week"


class DivergenceDay(models.Model):
    """A closed day of a detector: what was looked at, with which A. Replays of the day work with the same A."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="divergence_days")
    day = models.DateField()
    policy = models.JSONField()  # detection.divergence.Policy as a dict
    per_week = models.FloatField()  # false incidents, as chosen then
    fleet_streams = models.PositiveIntegerField()  # of all detectors, that A was made of
    needed = models.FloatField()  # A
    streams = models.PositiveIntegerField(default=0)  # of this detector, that had a period
    tested = models.PositiveIntegerField(default=0)
    alarms = models.PositiveIntegerField(default=0)
    opened = models.PositiveIntegerField(default=0)  # incidents
    seconds = models.FloatField(default=0.0)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["detector", "day"], name="one_divergence_day_per_detector")]

    def __str__(self) -> str:
        return f"{self.detector} {self.day}"
