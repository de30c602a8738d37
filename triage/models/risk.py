"""Hosts at risk: organisations, their users and hosts, what first-layer models said of them, nights and alerts.

The histories of a million entities are columns of one file per night, not rows; `Entity.row` is the place there."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from labeling.models import Item
from models_registry.models import ScoreFile
from traffic.models import Sensor

PRIVATE = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"


def known_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(_("Expected the name of a time zone, as Europe/Berlin."))


def known_networks(text: str) -> None:
    try:
        found = [ip_network(one) for one in text.split()]
    except ValueError:
        found = []
    if not found:
        raise ValidationError(_("Expected networks with spaces between them, as 10.0.0.0/8 192.168.0.0/16."))


class Organisation(models.Model):
    """Users or hosts that share a habit and an alert budget: our own network, or a customer's."""

    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=64, unique=True)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[known_zone])  # its days begin there
    budget = models.FloatField(default=5.0, validators=[MinValueValidator(0.01)])  # alerts a day
    floor = models.FloatField(default=0.0, validators=[MinValueValidator(0.0)])  # values at or below never alert
    lift_asked_at = models.DateTimeField(null=True, blank=True)  # mailbox of the next night
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def weights(self) -> RiskWeights:
        """The weights in force: the newest."""
        newest = self.weightings.order_by("-number").first()
        if newest is None:
            raise RiskWeights.DoesNotExist(f"{self.name} has no weights")
        return newest


class RiskWeights(Evidence):
    """What the features of an organisation weigh. Other weights begin another history: values are not comparable."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="weightings")
    number = models.PositiveIntegerField()
    weights = models.JSONField(default=dict)  # feature → weight; 1 where none is named
    groups = models.JSONField(default=dict)  # feature → name of the group that measures the same
    versions = models.JSONField(default=dict)  # our own detector → number of the version whose scores count
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "number"], name="one_risk_weights_per_number")]

    def __str__(self) -> str:
        return f"{self.organisation} weights:{self.number}"


class WatchedSensor(models.Model):
    """A sensor whose hosts belong to an organisation: what our detectors say of them is part of their days there."""

    sensor = models.OneToOneField(Sensor, on_delete=models.PROTECT, related_name="watched")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="sensors")
    networks = models.TextField(max_length=2000, default=PRIVATE, validators=[known_networks])  # its hosts, not others
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["sensor__name"]

    def __str__(self) -> str:
        return f"{self.sensor} → {self.organisation}"

    @property
    def inside(self) -> list[IPv4Network | IPv6Network]:
        return [ip_network(one) for one in self.networks.split()]


class TakenScores(models.Model):
    """A score file whose hosts an organisation has taken in. The mailbox of the others is that they have no row."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    score_file = models.ForeignKey(ScoreFile, on_delete=models.CASCADE, related_name="+")
    hosts = models.PositiveIntegerField(default=0)  # days of hosts that had a score
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "score_file"], name="one_taking_per_score_file")]

    def __str__(self) -> str:
        return f"{self.organisation}: {self.score_file}"


class Entity(models.Model):
    """A user or host of an organisation."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="entities")
    name = models.CharField(max_length=200)
    row = models.PositiveIntegerField()  # of the columns of a night
    peers = models.CharField(max_length=100, blank=True)  # department, role of a host: those like it
    # a critical asset alerts above this at the latest, whatever is usual for it
    ceiling = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.0)])
    since = models.DateField()  # its first day
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "name"], name="one_entity_per_name"),
            models.UniqueConstraint(fields=["organisation", "row"], name="one_entity_per_row"),
        ]
        verbose_name_plural = "entities"

    def __str__(self) -> str:
        return self.name


class RiskScoreQuerySet(models.QuerySet["RiskScore"]):
    def under(self, weights: RiskWeights) -> RiskScoreQuerySet:
        """Scores that count under some weights: what others told, and what the named versions of ours said."""
        counts = models.Q(version=0)
        for detector, number in weights.versions.items():
            counts |= models.Q(feature=detector, version=number)
        return self.filter(counts, organisation=weights.organisation_id)


class RiskScore(models.Model):
    """The largest score of one feature on one day of one entity: what a day's value is made of."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+", db_index=False)
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="scores", db_index=False)
    day = models.DateField()  # of the organisation's time zone
    feature = models.CharField(max_length=100)  # of our own detectors: its name,
    version = models.PositiveIntegerField(default=0)  # and the version's number; 0: others told it
    score = models.FloatField()  # 0 to 100; above is damped
    at = models.DateTimeField()  # of that event
    told_by = models.CharField(max_length=100)  # name of the token, or the detector
    late = models.BooleanField(default=False)  # came after its day was closed: mailbox of the next night

    objects = RiskScoreQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["entity", "day", "feature", "version"], name="one_risk_score_per_feature_and_day"
            )
        ]
        indexes = [
            # read by triage.services.risk.nights
            models.Index(fields=["organisation", "day"], name="risk_score_by_day"),
            models.Index(fields=["organisation", "day"], name="risk_score_late", condition=models.Q(late=True)),
        ]

    def __str__(self) -> str:
        return f"{self.entity} {self.day} {self.feature}: {self.score:g}"


class HeardDay(models.Model):
    """A day on which the feeds of an organisation spoke: if they named nobody, it was quiet."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="heard_days")
    day = models.DateField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "day"], name="one_heard_day_per_organisation")]

    def __str__(self) -> str:
        return f"{self.organisation} {self.day}"


class MissingDay(models.Model):
    """A day on which nothing could be heard of an entity, or of all: not a quiet day, none at all."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="missing_days")
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, null=True, related_name="missing_days")
    day = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "entity", "day"], name="one_missing_day_per_entity"),
            models.UniqueConstraint(
                fields=["organisation", "day"], condition=models.Q(entity=None), name="one_missing_day_of_all"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity or self.organisation} {self.day}"


class RiskNight(models.Model):
    """One closed day of an organisation: where its thresholds stood and what the day gave.

    `state_path` (emptied when newer nights have theirs) and `thresholds_path` are files of the store."""

    class Mode(models.TextChoices):
        LEARNING = "learning", _("learning")  # the first days only listen
        COLD = "cold", _("cold")
        TAIL = "tail", _("tail")
        EMPIRICAL = "empirical", _("empirical")
        SILENT = "silent", _("no telemetry")

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="nights")
    weights = models.ForeignKey(RiskWeights, on_delete=models.PROTECT, related_name="nights")
    day = models.DateField()
    policy = models.JSONField()  # detection.adaptive.Policy as a dict
    budget = models.FloatField()
    mode = models.CharField(max_length=9, choices=Mode.choices)
    entities = models.PositiveIntegerField()
    missing = models.PositiveIntegerField(default=0)
    positive = models.PositiveIntegerField(default=0)  # entities with a value
    alerts = models.PositiveIntegerField(default=0)
    opened = models.PositiveIntegerField(default=0)  # of the alerts; the others are over budget
    fit = models.JSONField(null=True)  # s_star, s_u, zeta_u, zeta_target, hill
    cold = models.FloatField(null=True)  # threshold of a newcomer
    curve = models.JSONField(default=list)  # g of the organisation, per bin
    peer_curves = models.JSONField(default=dict)  # of groups large enough: name → {"curve": g, "cold": threshold}
    surprises = models.BinaryField()  # the calibration histogram, float64
    entity_periods = models.FloatField(default=0)  # behind it,
    days = models.FloatField(default=0)
    days_heard = models.PositiveIntegerField(default=0)  # of this history, so far
    state_path = models.CharField(max_length=255, blank=True)
    state_digest = models.CharField(max_length=64)
    thresholds_path = models.CharField(max_length=255, blank=True)
    late_dropped = models.PositiveIntegerField(default=0)  # values that came too late
    seconds = models.FloatField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["weights", "day"], name="one_risk_night_per_day")]

    def __str__(self) -> str:
        return f"{self.organisation} {self.day}"

    @property
    def q(self) -> float | None:
        """The tail probability at which values alert."""
        return self.fit["q"] if self.fit else None

    def habit_of(self, peers: str) -> tuple[list[float], float | None, bool]:
        """Return the curve and the newcomer's threshold that decide for a group, and whether these are its own."""
        if found := self.peer_curves.get(peers):
            return found["curve"], found["cold"], True
        return self.curve, self.cold, False


class RiskAlertQuerySet(models.QuerySet["RiskAlert"]):
    def unapplied(self) -> RiskAlertQuerySet:
        """The mailbox of the next night: alerts whose item is settled and did not act yet."""
        return self.filter(applied_at=None, item__state="settled")

    def without_item(self) -> RiskAlertQuerySet:
        """The mailbox of triage.services.risk.items."""
        return self.filter(opened=True, item=None)


class RiskAlert(models.Model):
    """A day on which an entity's value passed its threshold."""

    night = models.ForeignKey(RiskNight, on_delete=models.PROTECT, related_name="told")
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="alerts")
    day = models.DateField()  # earlier than the night's where the value came late
    value = models.FloatField()
    threshold = models.FloatField()
    surprise = models.FloatField()  # nats
    probability = models.FloatField()
    score = models.FloatField()  # 50 at the unguarded threshold, 100 at the square of its probability
    contributions = models.JSONField()  # [[feature, value]], the three largest
    cold_start = models.BooleanField()
    opened = models.BooleanField()  # False: over budget in a storm, shown as one group
    late = models.BooleanField(default=False)
    item = models.OneToOneField(Item, on_delete=models.PROTECT, null=True, related_name="risk_alert")
    applied_at = models.DateTimeField(null=True)  # when its label acted on the history
    effect = models.CharField(max_length=16, blank=True)  # of the label

    objects = RiskAlertQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["entity", "day", "night"], name="one_risk_alert_per_day")]
        indexes = [models.Index(fields=["night", "-score"], name="risk_alert_by_score")]

    def __str__(self) -> str:
        return f"{self.entity} {self.day}: {self.value:g} > {self.threshold:g}"


__all__ = [
    "Entity",
    "HeardDay",
    "MissingDay",
    "Organisation",
    "RiskAlert",
    "RiskNight",
    "RiskScore",
    "RiskWeights",
    "TakenScores",
    "WatchedSensor",
]
