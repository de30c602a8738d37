"""Where the index of labelled neighbours of a version lies."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from models_registry.models import Version


class NeighbourIndex(models.Model):
    """The labelled sessions of a detector as one version sees them. A derivation: it is made again as labels grow."""

    version = models.OneToOneField(Version, on_delete=models.CASCADE, primary_key=True, related_name="neighbour_index")
    path = models.CharField(max_length=255)
    rows = models.PositiveIntegerField()
    built_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.rows} labelled neighbours of {self.version}"
