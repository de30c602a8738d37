"""Answers of experts. Never edited, only superseded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

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
    EXPIRED = "expired", _("expired")  # its time was over: supersedes an answer as an undo does, and asks again


NO_ANSWER = (Answer.WITHDRAWN, Answer.EXPIRED)  # what leaves none in force
DECIDED = (Answer.POSITIVE, Answer.NEGATIVE)


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
    PEERS = "expected-of-peers", _("ordinary for all of its kind")  # of an entity's day
    OTHER = "other", _("other")

    @classmethod
    def of_sessions(cls) -> list[tuple[str, Any]]:
        """What may be wrong about a session's verdict."""
        return [choice for choice in cls.choices if choice[0] != cls.PEERS]

    @classmethod
    def of_entity_days(cls) -> list[tuple[str, Any]]:
        """What may be wrong about a day of a user or host."""
        chosen = (cls.PEERS, cls.OWN_TEST, cls.THRESHOLD, cls.OTHER)
        return [choice for choice in cls.choices if choice[0] in chosen]


class Trigger(models.TextChoices):
    """What makes an answer expire, when that is no moment."""

    RULES = "rule-set-changes", _("other rules are in force")
    RETIRED = "version-retires", _("the version is retired")


class LabelQuerySet(EvidenceQuerySet["Label"]):
    def current(self) -> LabelQuerySet:
        """Answers in force: not superseded, not withdrawn, not expired."""
        return self.filter(superseded_by=None).exclude(answer__in=NO_ANSWER)

    def own(self) -> LabelQuerySet:
        """What an expert said of the item itself: no part of a group or bulk verdict."""
        return self.filter(source=Source.EXPERT, inherited_from=None)

    def with_heirs(self, origin: Label) -> LabelQuerySet:
        """An answer, and all that was inherited from it."""
        return self.filter(models.Q(pk=origin.pk) | models.Q(inherited_from=origin))


class Label(Evidence):
    """An expert's answer about an item's subject."""

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="labels", db_index=False)
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="labels")
    subject_kind = models.CharField(max_length=12, choices=SubjectKind.choices)
    subject_key = models.CharField(max_length=200)
    expert = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="labels", db_index=False
    )
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.EXPERT)
    answer = models.CharField(max_length=10, choices=Answer.choices)
    reason_code = models.CharField(max_length=24, choices=ReasonCode.choices, blank=True)
    family = models.CharField(max_length=64, blank=True)
    authorised = models.BooleanField(default=False)  # positive, but allowed: a scanner of our own
    note = models.TextField(blank=True)
    supersedes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="superseded_by")
    # the answer that a group or bulk verdict gave, where this one was given with it
    inherited_from = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="heirs")
    expires_at = models.DateTimeField(null=True)  # then the item is asked about again
    expires_when = models.CharField(max_length=20, choices=Trigger.choices, blank=True)
    milliseconds = models.PositiveIntegerField(null=True)  # from opening to answer, measured by the server
    created_at = models.DateTimeField(default=timezone.now)

    objects = LabelQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["id"]
        indexes = [
            # read by labeling.services.claims and states, by both or the first. Both in one: as long as PostgreSQL has
            # no statistics, after a bulk import, it would look all answers of the expert through for each item
            models.Index(fields=["item", "expert"], name="label_by_item_and_expert"),
            # read by labeling.services.labels (undo, own labels of the day)
            models.Index(fields=["expert", "-created_at"], name="label_by_expert_and_time"),
            # read by labeling.services.expiry
            models.Index(fields=["expires_at"], name="label_by_expiry", condition=~models.Q(expires_at=None)),
            models.Index(fields=["expires_when"], name="label_by_trigger", condition=~models.Q(expires_when="")),
        ]
        constraints = [
            # a double label is impossible: one chain of answers per expert and item
            models.UniqueConstraint(
                fields=["item", "expert"], condition=models.Q(supersedes=None), name="one_first_label_per_expert"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.expert}: {self.answer}"

    @property
    def taken(self) -> timedelta | None:
        """How long it took from opening to answer."""
        return None if self.milliseconds is None else timedelta(milliseconds=self.milliseconds)
