"""What raises items in their queues after they were made."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from models_registry.models import Version


class PriorityRaiseQuerySet(models.QuerySet["PriorityRaise"]):
    def standing(self) -> PriorityRaiseQuerySet:
        return self.filter(lifted_at=None)


class PriorityRaise(models.Model):
    """The waiting items of a version go up, and those to come, for a cause that came to be known later."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="priority_raises")
    cause = models.CharField(max_length=120)  # "incident 12", for people
    amount = models.FloatField()  # added to the priority of each item
    created_at = models.DateTimeField(default=timezone.now)
    lifted_at = models.DateTimeField(null=True)

    objects = PriorityRaiseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "cause"], condition=Q(lifted_at=None), name="one_standing_raise_per_cause"
            )
        ]

    def __str__(self) -> str:
        return self.cause
