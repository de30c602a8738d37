"""Complaints: a customer says "false positive". The head says where one stands; every step stays as a row."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from accounts.models import User
from accounts.roles import Role
from detection.clock import Reading
from labeling.models import Item
from models_registry.models import Appliance, Bundle, Customer, Detector, Site, Version
from triage.models.deadlines import Deadline, Severity
from triage.models.remarks import told


class State(models.TextChoices):
    RECEIVED = "received", _("received")
    REPRODUCED = "reproduced", _("reproduced")
    CONFIRMED = "confirmed", _("confirmed")
    REJECTED = "rejected", _("rejected")
    NEEDS_INFORMATION = "needs-information", _("needs information")
    FIX_IN_CANDIDATE = "fix-in-candidate", _("fix in candidate")
    FIXED_IN_BUNDLE = "fixed-in-bundle", _("fixed in bundle")
    PUBLISHED = "published", _("published")
    TOLD = "told", _("told")


class Strength(models.TextChoices):
    """How much the evidence can show."""

    NOTHING = "nothing", _("nothing that can be scored")
    VECTOR = "vector", _("features alone")  # can be reproduced, not confirmed
    SESSION = "session", _("a session")


class Seal(models.TextChoices):
    """What the signature of a kit says."""

    UNSIGNED = "unsigned", _("unsigned")
    SIGNED = "signed", _("signed")  # by an appliance of this customer, and not a byte was changed since
    BROKEN = "broken", _("the signature does not fit: changed after it was made")
    UNKNOWN = "unknown", _("signed by an appliance that is not enrolled")
    ANOTHER = "another", _("signed by an appliance of another customer")


class ServingQuerySet(models.QuerySet["Serving"]):
    def customers_of(self, reader: User) -> list[int] | None:
        """Return the customers a person of support serves; None: all of them, as everybody of another role."""
        if not reader.has_role(Role.SUPPORT):
            return None
        prefetch_related_objects([reader], "servings")  # one look for whoever reads, however often a page asks
        served = [serving.customer_id for serving in reader.servings.all()]
        return None if None in served else [pk for pk in served if pk is not None]


class Serving(models.Model):
    """A person of support serves a customer, or all of them. Others are not theirs to see."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="servings")
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, null=True, related_name="servings")  # None: all
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    objects = ServingQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "customer"], name="one_serving_per_customer"),
            models.UniqueConstraint(fields=["user"], condition=Q(customer=None), name="one_serving_of_all"),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.customer or '*'}"


class Case(models.Model):
    """All complaints of one look about one detector: one question to an expert, one fix, an answer for each."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="cases")
    shape = models.CharField(max_length=64)
    item = models.ForeignKey(Item, on_delete=models.PROTECT, null=True, related_name="+")  # the newest that asks
    opened_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["detector", "shape"], name="one_case_per_look")]

    def __str__(self) -> str:
        return f"case {self.pk}"


def number_of(pk: int) -> str:
    """Return how people name the complaint with a key."""
    return f"C-{pk}"


class ComplaintQuerySet(models.QuerySet["Complaint"]):
    def visible_to(self, reader: User) -> ComplaintQuerySet:
        """Complaints of the customers that a person of support serves; everybody else works on all of them."""
        served = Serving.objects.customers_of(reader)
        return self if served is None else self.filter(customer__in=served)

    def unanswered(self) -> ComplaintQuerySet:
        """Complaints whose customer has no answer yet."""
        return self.filter(told_at=None)

    def listed(self) -> ComplaintQuerySet:
        """With what its page shows; what a bundle was built from is long, and nobody reads it here."""
        found = self.select_related("customer", "site", "detector", "bundle", "filed_by", "deadline")
        return found.defer("bundle__metadata", "bundle__config")


class Complaint(models.Model):
    """What a customer says was flagged, and what the bundle he runs says of it here.

    The head: written by services in the transaction that writes the step. Words and records of the customer lie here
    and in attachments only, so that they can be erased."""

    class Channel(models.TextChoices):
        PAGE = "page", _("page")
        API = "api", _("API")
        MAIL = "mail", _("e-mail")

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="complaints")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, null=True, related_name="complaints")
    deadline = models.OneToOneField(Deadline, on_delete=models.PROTECT, related_name="complaint")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, null=True, related_name="complaints")
    state = models.CharField(max_length=20, choices=State.choices, default=State.RECEIVED)
    channel = models.CharField(max_length=4, choices=Channel.choices, default=Channel.PAGE)
    key = models.CharField(max_length=100, blank=True)  # Idempotency-Key of the API
    key_digest = models.CharField(max_length=64, blank=True)  # of what came with it
    # what the bundle says here; empty until something could be scored
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, null=True, related_name="complaints")
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, null=True, related_name="complaints")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, related_name="complaints")
    strength = models.CharField(max_length=8, choices=Strength.choices, default=Strength.SESSION)
    shape = models.CharField(max_length=64, blank=True)  # look-alike key
    score_told = models.CharField(max_length=24, blank=True)  # as the customer's appliance wrote it
    score = models.FloatField(null=True)
    threshold = models.FloatField(null=True)  # of the bundle
    reproduced = models.BooleanField(default=False)  # positive here too, and the same score where one was told
    # the customer's own words and data
    flagged = models.TextField()  # as told
    row = models.TextField(blank=True)  # the session row that was scored, as JSON
    contact = models.CharField(max_length=200)
    note = models.TextField(blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    filed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    filed_at = models.DateTimeField(default=timezone.now)
    # up to which version, bundle and publication its fix was looked for; triage.services.complaints.follow skips equals
    followed = models.CharField(max_length=60, blank=True)
    told_at = models.DateTimeField(null=True)  # closed: the customer has his answer
    erased_at = models.DateTimeField(null=True)  # consent was withdrawn: nothing of the customer's is here any more

    objects = ComplaintQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            # read by lists: what waits, and what was answered
            models.Index(fields=["customer", "-id"], name="complaint_by_customer"),
            models.Index(fields=["state"], name="complaint_waiting", condition=Q(told_at=None)),
            models.Index(fields=["-id"], name="complaint_answered", condition=Q(told_at__isnull=False)),
            # read by the complaint's page: same look at other customers
            models.Index(fields=["detector", "shape"], name="complaint_by_look"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["customer", "key"], condition=~Q(key=""), name="one_complaint_per_key"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        return number_of(self.pk)

    @property
    def state_name(self) -> str:
        return str(State(self.state).label)

    @property
    def severity(self) -> str:
        return str(Severity(self.deadline.severity).label)

    @property
    def reading(self) -> Reading:
        """What the clock shows now."""
        return self.deadline.reading()


_ONCE = (State.FIX_IN_CANDIDATE, State.FIXED_IN_BUNDLE, State.PUBLISHED, State.TOLD)
_DECIDED = (State.CONFIRMED, State.REJECTED)


class ComplaintState(Evidence):
    """A complaint entered a state. The newest row is the state it is in."""

    complaint = models.ForeignKey(Complaint, on_delete=models.PROTECT, related_name="states")
    state = models.CharField(max_length=20, choices=State.choices)
    reason = models.TextField(blank=True)  # why it was rejected, what is missing, what the customer was told
    item = models.ForeignKey(Item, on_delete=models.PROTECT, null=True, related_name="+")  # received: whom it asks
    version = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, related_name="+")  # the fix
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, null=True, related_name="+")  # the fix
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    due_at = models.DateTimeField(null=True)  # received again: the deadline, moved by the rest
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["complaint", "state"], condition=Q(state__in=_ONCE), name="one_step_per_complaint"
            ),
            models.UniqueConstraint(
                fields=["complaint"], condition=Q(state__in=_DECIDED), name="one_decision_per_complaint"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=(State.REJECTED, State.NEEDS_INFORMATION, State.TOLD), reason=""),
                name="answers_have_words",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.complaint}: {self.state}"


class Reproduction(Evidence):
    """The bundle of a customer was asked about his evidence. Digests and figures, nothing of the customer's."""

    complaint = models.ForeignKey(Complaint, on_delete=models.PROTECT, related_name="reproductions")
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    strength = models.CharField(max_length=8, choices=Strength.choices)
    digest = models.CharField(max_length=64)  # of the evidence that was scored
    file_digest = models.CharField(max_length=64, null=True)  # noqa: DJ001 - of the very file asked; None: before 0014
    score = models.FloatField()
    threshold = models.FloatField()
    positive = models.BooleanField()  # the customer sees a verdict
    score_told = models.CharField(max_length=24, blank=True)
    equal = models.BooleanField(null=True)  # to as many digits as were told; None: nothing was told
    missing = models.JSONField(default=list)  # columns that a model reads and nobody told
    seconds = models.FloatField(default=0.0)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.complaint}: {self.score:.4f}"


class Attachment(models.Model):
    """Evidence as it came. The bytes lie in the store, outside the web root; erased, the digest stays."""

    complaint = models.ForeignKey(Complaint, on_delete=models.PROTECT, related_name="attachments")
    name = models.CharField(max_length=200)  # as the sender called it; shown, never used
    kind = models.CharField(max_length=8, blank=True)  # detection.evidence.Kind; empty: refused
    refusal = models.CharField(max_length=16, blank=True)  # code of docs/formats/evidence.md
    remarks = models.JSONField(default=list)  # what became of it: codes and values (triage.models.remarks)
    written = models.CharField(max_length=400, blank=True)  # the same in words, as it was kept before there were codes
    seal = models.CharField(max_length=8, choices=Seal.choices, blank=True)  # of a kit
    appliance = models.ForeignKey(Appliance, on_delete=models.PROTECT, null=True, related_name="+")  # that signed it
    size = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    path = models.CharField(max_length=255, blank=True)  # empty: refused and not kept, or erased
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    erased_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.complaint}: {self.name}"

    @property
    def told(self) -> str:
        """What became of it, in the language of the page."""
        return told(self.remarks) or self.written


class Message(models.Model):
    """One message of the thread with a customer. His words can be erased; that there was a message cannot."""

    complaint = models.ForeignKey(Complaint, on_delete=models.PROTECT, related_name="messages")
    to_customer = models.BooleanField()
    template = models.CharField(max_length=32, blank=True)
    text = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.complaint}: {self.text[:40]}"
