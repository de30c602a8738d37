"""Answers given to many items at once: a group of look-alikes, or all that match a filter."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence
from jobs.models import Job
from labeling.models.items import Item, Queue
from labeling.models.labels import Answer, Label, ReasonCode, Trigger


class GroupVerdict(Evidence):
    """One key for all look-alikes: what it met, and the policy by which some were kept to be answered singly."""

    label = models.OneToOneField(Label, on_delete=models.PROTECT, related_name="group_verdict")
    policy = models.JSONField()  # detection.groups.CheckPolicy
    items = models.PositiveIntegerField()  # answered, with the one on screen
    checks = models.PositiveIntegerField()  # kept to be answered singly
    sessions = models.PositiveIntegerField()  # that the answered items stand for
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.label} for {self.items} look-alikes"


class GroupCheckQuerySet(models.QuerySet["GroupCheck"]):
    def waiting(self) -> GroupCheckQuerySet:
        """The mailbox of labeling.services.groups.collect_checks."""
        return self.filter(agreed=None)

    def contesting(self) -> GroupCheckQuerySet:
        """Answered differently, and not all of the group is told so yet."""
        return self.filter(agreed=False, collected_at=None)

    def unfinished(self) -> GroupCheckQuerySet:
        """Those that contest their group still, or may."""
        return self.filter(models.Q(agreed=None) | models.Q(agreed=False, collected_at=None))


class GroupCheck(models.Model):
    """A look-alike that a group verdict left to be answered singly. A differing answer contests the whole group."""

    origin = models.ForeignKey(Label, on_delete=models.PROTECT, related_name="checks")  # the group's answer
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="group_checks")
    agreed = models.BooleanField(null=True)  # null: nobody has answered yet
    contested_after = models.BigIntegerField(null=True)  # the newest label when it was answered differently
    collected_at = models.DateTimeField(null=True)  # when its answer had done all it does to the group

    objects = GroupCheckQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["origin", "item"], name="one_check_per_group_and_item")]
        indexes = [
            # read by labeling.services.groups.collect_checks
            models.Index(fields=["item"], name="group_check_waiting", condition=models.Q(agreed=None)),
            models.Index(
                fields=["id"],
                name="group_check_contesting",
                condition=models.Q(agreed=False, collected_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"check {self.item_id} of {self.origin_id}"


class BulkVerdict(models.Model):
    """One answer to all items of a queue that matched a filter when it was asked for. A job gives it, a job takes it
    back; both go along the frozen list of items and keep their place in the transaction that writes labels."""

    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="bulk_verdicts")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="bulk_verdicts")
    filter = models.CharField(max_length=1000, blank=True)  # query string of labeling.services.filters
    answer = models.CharField(max_length=10, choices=Answer.choices)
    reason_code = models.CharField(max_length=24, choices=ReasonCode.choices, blank=True)
    family = models.CharField(max_length=64, blank=True)
    authorised = models.BooleanField(default=False)
    note = models.TextField()  # why: without one a bulk change leaves no trace
    expires_at = models.DateTimeField(null=True)
    expires_when = models.CharField(max_length=20, choices=Trigger.choices, blank=True)
    preview = models.JSONField()  # labeling.services.bulk.Preview, as it was shown
    items = models.JSONField()  # their numbers, frozen by the preview
    checks = models.JSONField(default=list)  # numbers of those that match too and are kept to be answered singly
    place = models.PositiveIntegerField(default=0)  # how many of them were looked at
    applied = models.PositiveIntegerField(default=0)
    left_out = models.JSONField(default=dict)  # why -> items that changed meanwhile
    label = models.OneToOneField(Label, on_delete=models.PROTECT, null=True, related_name="bulk_verdict")  # the first
    job = models.ForeignKey(Job, on_delete=models.PROTECT, null=True, related_name="+")
    undo_job = models.ForeignKey(Job, on_delete=models.PROTECT, null=True, related_name="+")
    withdrawn = models.PositiveIntegerField(default=0)
    kept = models.PositiveIntegerField(default=0)  # in the reference set when it was undone
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [
            # read by the list of a person's bulk verdicts
            models.Index(fields=["by", "-id"], name="bulk_verdict_by_person"),
        ]

    def __str__(self) -> str:
        return f"{self.answer} for {len(self.items)} items of {self.queue}"

    @property
    def changed(self) -> int:
        """How many of the items were left out, because they changed after the preview."""
        return self.place - self.applied

    @property
    def is_whole(self) -> bool:
        """Whether every item of the preview got the answer."""
        return self.applied == len(self.items)

    @property
    def is_done(self) -> bool:
        return self.place == len(self.items)
