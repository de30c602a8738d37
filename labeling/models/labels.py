"""Answers of experts. Never edited, only superseded."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence, EvidenceQuerySet
from labeling.models.items import Item, SubjectKind
from models_registry.models import Detector


class Answer(models.TextChoices):
    POSITIVE = "positive", _("positive")
    NEGATIVE = "negative", _("negative")
    UNDECIDED = "undecided", _("cannot tell")
    WITHDRAWN = "withdrawn", _("withdrawn")  # an undo: supersedes an answer and leaves none


class Source(models.TextChoices):
    """Kept apart: only expert and dump labels may gate (DESIGN, decision 10)."""

    EXPERT = "expert", _("expert")
    DUMP = "dump", _("saved attack dump")
    CUSTOMER = "customer", _("customer")
    RULE = "rule", _("rule")
    LANGUAGE_MODEL = "language-model", _("language model")


class ReasonCode(models.TextChoices):
    """Why a verdict of the model is wrong."""

    LOOKALIKE = "lookalike", _("look-alike application")
    SHARED = "shared-infrastructure", _("shared infrastructure (CDN, proxy, NAT)")
    OWN_TEST = "own-test", _("own security test")
    NEW_VERSION = "new-version", _("new version of known software")
    BROKEN = "broken-session", _("broken or truncated session")
    ENRICHMENT = "wrong-enrichment", _("wrong enrichment (geo, owner, DNS)")
    THRESHOLD = "threshold", _("threshold too low")
    OTHER = "other", _("other")


class LabelQuerySet(EvidenceQuerySet["Label"]):
    def current(self) -> LabelQuerySet:
        """Answers in force: not superseded, not withdrawn."""
        return self.filter(superseded_by=None).exclude(answer=Answer.WITHDRAWN)


class Label(Evidence):
    """An expert's answer about an item's subject."""

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="labels")
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="labels")
    subject_kind = models.CharField(max_length=12, choices=SubjectKind.choices)
    subject_key = models.CharField(max_length=200)
    expert = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="labels")
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.EXPERT)
    answer = models.CharField(max_length=10, choices=Answer.choices)
    reason_code = models.CharField(max_length=24, choices=ReasonCode.choices, blank=True)
    family = models.CharField(max_length=64, blank=True)
    authorised = models.BooleanField(default=False)  # positive, but allowed: a scanner of our own
    note = models.TextField(blank=True)
    supersedes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="superseded_by")
    milliseconds = models.PositiveIntegerField(null=True)  # from opening to answer, measured by the server
    created_at = models.DateTimeField(default=timezone.now)

    objects = LabelQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["id"]
        indexes = [
            # read by labeling.services.labels (undo, own labels of the day)
            models.Index(fields=["expert", "-created_at"], name="label_by_expert_and_time"),
        ]
        constraints = [
            # a double label is impossible: one chain of answers per expert and item
            models.UniqueConstraint(
                fields=["item", "expert"], condition=models.Q(supersedes=None), name="one_first_label_per_expert"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.expert}: {self.answer}"
