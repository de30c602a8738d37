"""Rows of another house: staged by one person, let in by a second."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.roles import Role as Person
from models_registry.models import Detector


class ReferenceImport(models.Model):
    """A file of reference rows. Its good lines wait in the store until a second person agrees."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waits for the second person")
        APPROVED = "approved", _("approved: being admitted")
        ADMITTED = "admitted", _("admitted")
        DECLINED = "declined", _("declined")

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="reference_imports")
    name = models.CharField(max_length=255)  # of the file, as given
    digest = models.CharField(max_length=64)  # SHA-256 of the file
    path = models.CharField(max_length=255)  # of its good lines
    quarantine_path = models.CharField(max_length=255, blank=True)  # of its bad lines, each with its error
    good = models.PositiveIntegerField(default=0)
    bad = models.PositiveIntegerField(default=0)
    known = models.PositiveIntegerField(default=0)  # lines that the set holds already
    first_errors = models.JSONField(default=list)  # [line, field, error], the first ones
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16, choices=Person.choices)  # of that person, then
    at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    note = models.TextField(blank=True)  # of the second person
    admitted = models.PositiveIntegerField(default=0)
    left_out = models.PositiveIntegerField(default=0)  # known by then, or look-alikes beyond the limits

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["detector", "digest"],
                condition=~models.Q(state="declined"),
                name="one_import_per_detector_and_file",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} for {self.detector}"
