"""Ship queries: filters with ceilings that a version must stay under. Their terms take two people."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence, EvidenceQuerySet
from detection.ship_queries import Ceilings, Terms, allowed
from models_registry.models.detectors import Detector
from models_registry.models.two_people import Act, Decision


class WithTerms(models.Model):
    """Terms under a name; without any, the query is withdrawn."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="+")
    name = models.SlugField(max_length=64)
    terms = models.JSONField(null=True)  # detection.ship_queries.Terms as a dict; none: withdrawn
    digest = models.CharField(max_length=64, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.detector}: {self.name}, {allowed(self.read.ceilings) if self.read else _('withdrawn')}"

    @property
    def read(self) -> Terms | None:
        return Terms.of(self.terms) if self.terms else None


class ShipQueryQuerySet(EvidenceQuerySet["ShipQuery"]):
    def newest(self) -> ShipQueryQuerySet:
        """The newest terms of each name, withdrawn ones too."""
        same = ShipQuery.objects.filter(detector=OuterRef("detector"), name=OuterRef("name"))
        return self.annotate(newest=Subquery(same.order_by("-number").values("pk")[:1])).filter(pk=F("newest"))

    def in_force(self) -> ShipQueryQuerySet:
        return self.newest().exclude(digest="")


class ShipQuery(WithTerms, Evidence):
    """Terms that were in force from one change to the next. Added, never edited: gate reports name their digest."""

    number = models.PositiveIntegerField()
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects = ShipQueryQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["detector", "name", "number"]
        constraints = [models.UniqueConstraint(fields=["detector", "name", "number"], name="one_ship_query_per_number")]

    @property
    def ceilings(self) -> Ceilings:
        assert self.read is not None  # in force
        return self.read.ceilings


class ShipQueryProposalQuerySet(EvidenceQuerySet["ShipQueryProposal"]):
    def waiting(self) -> ShipQueryProposalQuerySet:
        """Proposals without a decision, about what is still in force."""
        same = ShipQuery.objects.filter(detector=OuterRef("detector"), name=OuterRef("name"))
        undecided = self.filter(decision=None).annotate(newest=Subquery(same.order_by("-number").values("pk")[:1]))
        return undecided.filter(models.Q(newest=F("after")) | models.Q(newest=None, after=None))


class ShipQueryProposal(WithTerms, Act):
    """Other ceilings, another filter, an exception, or the end of a query. In force when a second person agrees."""

    after = models.ForeignKey(ShipQuery, on_delete=models.PROTECT, null=True, related_name="+")  # in force when made
    reason = models.CharField(max_length=255, blank=True)

    objects = ShipQueryProposalQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["-id"]


class ShipQueryDecision(Decision):
    proposal = models.OneToOneField(ShipQueryProposal, on_delete=models.PROTECT, related_name="decision")
    query = models.OneToOneField(ShipQuery, on_delete=models.PROTECT, null=True, related_name="decision")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(outcome="declined") | models.Q(query__isnull=False),
                name="approvals_put_terms_in_force",
            )
        ]
