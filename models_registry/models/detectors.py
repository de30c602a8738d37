"""Detection tasks and which rules speak about their class."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence, EvidenceQuerySet
from detection.retraining import RetrainPolicy, Schedule
from models_registry.models.two_people import Act, Decision

_POLICY = RetrainPolicy()


class Weekday(models.TextChoices):
    """In the order of `datetime.weekday()`."""

    MONDAY = "monday", _("Mondays")
    TUESDAY = "tuesday", _("Tuesdays")
    WEDNESDAY = "wednesday", _("Wednesdays")
    THURSDAY = "thursday", _("Thursdays")
    FRIDAY = "friday", _("Fridays")
    SATURDAY = "saturday", _("Saturdays")
    SUNDAY = "sunday", _("Sundays")


ENTITY = "entity"  # in place of a protocol: what stands for people who watch users and hosts, and has no models


class DetectorManager(models.Manager["Detector"]):
    """Detectors of sessions: what is trained, gated and shipped."""

    def get_queryset(self) -> models.QuerySet[Detector]:
        return super().get_queryset().exclude(protocol=ENTITY)


class EntityDetectorManager(models.Manager["Detector"]):
    def get_queryset(self) -> models.QuerySet[Detector]:
        return super().get_queryset().filter(protocol=ENTITY)


class Detector(models.Model):
    """One detection task; its name is `registry_name` in build_config.yml."""

    name = models.SlugField(max_length=64, unique=True)
    protocol = models.CharField(max_length=16, default="http")
    positive_class = models.CharField(max_length=32, default="malicious")
    negative_class = models.CharField(max_length=32, default="benign")
    positive_key = models.CharField(max_length=1, default="m")
    negative_key = models.CharField(max_length=1, default="b")
    false_positive_cost = models.FloatField(default=10.0)  # price of a false positive, in missed detections
    # when training is considered, UTC, and what makes it worth it (detection.retraining)
    retrain_hour = models.PositiveSmallIntegerField(default=2, validators=[MaxValueValidator(23)])
    retrain_weekday = models.CharField(max_length=9, choices=Weekday.choices, blank=True)  # empty: every night
    retrain_labels = models.PositiveIntegerField(default=_POLICY.labels, validators=[MinValueValidator(1)])
    retrain_days = models.PositiveIntegerField(default=_POLICY.days, validators=[MinValueValidator(1)])
    created_at = models.DateTimeField(default=timezone.now)

    objects = DetectorManager()
    of_entities = EntityDetectorManager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.retrain_hour, Weekday.values.index(self.retrain_weekday) if self.retrain_weekday else None)

    @property
    def retrain_policy(self) -> RetrainPolicy:
        return RetrainPolicy(labels=self.retrain_labels, days=self.retrain_days)

    @property
    def mapping(self) -> RuleMappingVersion:
        """The rule mapping in force: the newest."""
        newest = self.mappings.order_by("-number").first()
        if newest is None:
            raise RuleMappingVersion.DoesNotExist(f"{self.name} has no rule mapping")
        return newest


class RuleMappingVersion(Evidence):
    """Which rules speak about the detector's class. Added, never edited: board and gate name the digest they used."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="mappings")
    number = models.PositiveIntegerField()
    mapping = models.JSONField()  # detection.rules.RuleMapping as a dict
    digest = models.CharField(max_length=64)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["detector", "number"]
        constraints = [models.UniqueConstraint(fields=["detector", "number"], name="one_mapping_per_number")]

    def __str__(self) -> str:
        return f"{self.detector}: mapping {self.number}"


class DetectorProposalQuerySet(EvidenceQuerySet["DetectorProposal"]):
    def waiting(self) -> DetectorProposalQuerySet:
        """Proposals without a decision, about what is still in force."""
        newest = RuleMappingVersion.objects.filter(detector=OuterRef("detector")).order_by("-number").values("pk")[:1]
        undecided = self.filter(decision=None).annotate(newest=Subquery(newest))
        return undecided.filter(newest=F("after"), old_cost=F("detector__false_positive_cost"))


class DetectorProposal(Act):
    """Other rules, or another price of a false positive. Takes effect when a second person agrees."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="proposals")
    after = models.ForeignKey(RuleMappingVersion, on_delete=models.PROTECT, related_name="+")  # in force when made
    old_cost = models.FloatField()
    mapping = models.JSONField()  # detection.rules.RuleMapping as a dict; may be the one in force
    digest = models.CharField(max_length=64)
    new_cost = models.FloatField()
    reason = models.CharField(max_length=255, blank=True)

    objects = DetectorProposalQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.detector}: rules {self.digest[:12]}, a false positive costs {self.new_cost:g}"

    @property
    def changes_rules(self) -> bool:
        return self.digest != self.after.digest

    @property
    def changes_cost(self) -> bool:
        return self.new_cost != self.old_cost


class DetectorDecision(Decision):
    proposal = models.OneToOneField(DetectorProposal, on_delete=models.PROTECT, related_name="decision")
    mapping = models.OneToOneField(RuleMappingVersion, on_delete=models.PROTECT, null=True, related_name="decision")
