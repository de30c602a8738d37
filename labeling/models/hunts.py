"""Questions that people keep, and what they sent from one to a queue."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.db import models
from django.utils import timezone

from detection.filters.tree import MOST_CHARACTERS
from jobs.models import Job
from labeling.models.items import Item, Queue
from models_registry.models import Detector


class SavedHunt(models.Model):
    """Its address is for good and for everybody who may hunt; only the owner changes it.

    A shared one stands in the lists of colleagues too."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_hunts")
    name = models.CharField(max_length=60)
    text = models.CharField(max_length=MOST_CHARACTERS, blank=True)  # the filter, as it was written
    days = models.CharField(max_length=4, blank=True)  # back from when it is asked; empty: all that is stored
    under_test = models.CharField(max_length=150, blank=True)  # "ktalk:3"
    group = models.CharField(max_length=40, blank=True)  # the field by which the page groups
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_saved_hunt_per_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def query(self) -> str:
        """The query string of the hunt page."""
        asked = {"q": self.text, "days": self.days, "under_test": self.under_test, "group": self.group}
        return urlencode({name: value for name, value in asked.items() if value})


class HuntSend(models.Model):
    """All that passed a filter, sent to a detector's queue of hunted items: one job, one note, one undo."""

    text = models.CharField(max_length=MOST_CHARACTERS, blank=True)
    since = models.DateTimeField(null=True)  # sessions between these times
    until = models.DateTimeField()  # when it was previewed
    under_test = models.CharField(max_length=150, blank=True)
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="hunt_sends")
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="hunt_sends")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="hunt_sends")
    note = models.TextField()  # why experts should look
    preview = models.JSONField()  # labeling.services.hunt_sends.Preview, as it was shown
    left_out = models.PositiveIntegerField(default=0)  # items beyond the day's budget
    job = models.ForeignKey(Job, on_delete=models.PROTECT, null=True, related_name="+")
    undo_job = models.ForeignKey(Job, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"hunt {self.pk} for {self.queue}"


class SentItem(models.Model):
    """An item that a hunt put into its queue, new or expired before."""

    send = models.ForeignKey(HuntSend, on_delete=models.PROTECT, related_name="sent")
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="sent_by")
    removed = models.BooleanField(null=True)  # by the undo; null: it has not come here

    class Meta:
        constraints = [models.UniqueConstraint(fields=["send", "item"], name="one_row_per_send_and_item")]

    def __str__(self) -> str:
        return f"{self.item_id} by {self.send_id}"
