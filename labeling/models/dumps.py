"""What somebody said about a saved capture as a whole."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from labeling.models.labels import Answer
from models_registry.models import Detector
from traffic.models import Intake


class DumpLabelQuerySet(models.QuerySet["DumpLabel"]):
    def uncollected(self) -> DumpLabelQuerySet:
        """The mailbox of labeling.services.dumps.route_waiting."""
        return self.filter(collected_at=None)

    def take(self, pk: int) -> bool:
        """Mark one as collected; False when somebody was faster. Call inside atomic()."""
        return self.uncollected().filter(pk=pk).update(collected_at=timezone.now()) == 1


class DumpLabel(models.Model):
    """One person's word on every session of a dump, for one detector. Each case of it still needs a second person."""

    intake = models.ForeignKey(Intake, on_delete=models.PROTECT, related_name="dump_labels")
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="dump_labels")
    answer = models.CharField(max_length=10, choices=[(Answer.POSITIVE, "positive"), (Answer.NEGATIVE, "negative")])
    analyst = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="dump_labels")
    created_at = models.DateTimeField(default=timezone.now)
    collected_at = models.DateTimeField(null=True)

    objects = DumpLabelQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["intake", "detector"], name="one_label_per_dump_and_detector")]

    def __str__(self) -> str:
        return f"{self.intake}: {self.answer} for {self.detector}"
