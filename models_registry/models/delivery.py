"""What left the house: releases that two people signed, the feed's metadata, publications, and what holds them back."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import OuterRef, Q, Subquery, Value
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence, EvidenceQuerySet
from accounts.roles import Role
from models_registry.models.bundles import Bundle
from models_registry.models.customers import Customer
from models_registry.models.versions import Version


class Channel(models.TextChoices):
    CANARY = "canary", _("canary")
    STABLE = "stable", _("stable")
    CUSTOMER = "customer", _("one customer")


CHANNELS = (Channel.CANARY, Channel.STABLE)  # an appliance listens to one of them, and to its customer's role


class ApproverKey(models.Model):
    """The public half of the key that a person signs releases with. Trusted once a root names it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="approver_keys")
    keyid = models.CharField(max_length=64, unique=True)
    public = models.JSONField()  # as TUF writes it
    added_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["user"], condition=Q(revoked_at=None), name="one_approver_key_per_person")
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.keyid[:12]}"


class FeedFile(Evidence):
    """One version of one metadata file of the feed, byte for byte as it is served."""

    role = models.CharField(max_length=32)
    version = models.PositiveIntegerField()
    body = models.TextField()
    expires_at = models.DateTimeField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["role", "-version"]
        constraints = [models.UniqueConstraint(fields=["role", "version"], name="one_feed_file_per_version")]

    def __str__(self) -> str:
        return f"{self.version}.{self.role}"


class Release(Evidence):
    """Metadata that waits for two signatures: a bundle for a channel or a customer, a customer's return to his channel,
    or the same feed signed anew."""

    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, null=True, related_name="releases")
    channel = models.CharField(max_length=8, choices=Channel.choices, blank=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="releases")
    path = models.CharField(max_length=255, blank=True)  # of the delivered file, receipt inside
    digest = models.CharField(max_length=64, blank=True)  # of that file
    takes_back = models.CharField(max_length=16, blank=True)  # protocol of which the customer loses a bundle of his own
    parts = models.JSONField()  # role → metadata without signatures, as text
    after = models.PositiveIntegerField()  # newest version of the top role when it was made; 0: none
    reason = models.CharField(max_length=255, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16, choices=Role.choices)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"R-{self.pk}"

    @property
    def is_signed(self) -> bool:
        """Did an engineer sign it, and a senior expert?"""
        return {Role.ENGINEER.value, Role.SENIOR.value} <= set(self.signatures.values_list("role", flat=True))


class ReleaseSignature(Evidence):
    """One approver's signatures under all parts of a release."""

    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="signatures")
    key = models.ForeignKey(ApproverKey, on_delete=models.PROTECT, related_name="signatures")
    role = models.CharField(max_length=16, choices=Role.choices)  # of the key's owner, then
    values = models.JSONField()  # role of the feed → signature, hex
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["release", "key"], name="one_signature_per_key")]

    def __str__(self) -> str:
        return f"{self.release}: {self.key}"


# the protocol of a publication's bundle, from its metadata
_READS = Coalesce(
    Cast(KeyTextTransform("name", KeyTransform("contract", "bundle__metadata")), models.CharField()), Value("")
)


class PublicationQuerySet(EvidenceQuerySet["Publication"]):
    def reading(self) -> PublicationQuerySet:
        """With `reads`, the protocol of the bundle."""
        return self.annotate(reads=_READS)

    def of(self, protocol: str) -> PublicationQuerySet:
        """Those of bundles that read a protocol."""
        return self.annotate(reads=_READS).filter(reads=protocol)

    def protocols(self) -> list[str]:
        """Return what the bundles read."""
        return sorted(set(self.annotate(reads=_READS).order_by().values_list("reads", flat=True)))

    def on(self, channel: str, protocol: str) -> PublicationQuerySet:
        """What a channel got of a protocol, newest first."""
        return self.of(protocol).filter(channel=channel, customer=None).order_by("-id")

    def newest(self, channel: str, protocol: str) -> Publication | None:
        """Return what a channel has of a protocol, with its bundle; None before the first."""
        return self.on(channel, protocol).select_related("bundle").first()

    def own(self, customer: Customer) -> PublicationQuerySet:
        """What was told to one customer: bundles of his own, and his returns to a channel; newest first."""
        return self.filter(customer=customer).order_by("-id")

    def reaching(self, customer: Customer, channel: str = Channel.STABLE, protocol: str = "") -> PublicationQuerySet:
        """Publications that appliances of a customer on a channel have taken, newest first; of a protocol, or of all.

        They look into their customer's own role first: what a channel gets while he has a bundle of his own for that
        protocol does not reach him. It does again after his return, which is a publication of what the channel has."""
        told = Publication.objects.own(customer).annotate(reads=_READS)
        told = told.filter(reads=OuterRef("reads"), pk__lt=OuterRef("pk"))
        found = self.annotate(reads=_READS, told=Subquery(told.values("channel")[:1]))
        hears = Q(told=None) | ~Q(told=Channel.CUSTOMER)
        by_channel = Q(channel=channel) & (Q(customer=customer) | Q(customer=None) & hears)
        found = found.filter(by_channel | Q(channel=Channel.CUSTOMER, customer=customer))
        return (found.filter(reads=protocol) if protocol else found).order_by("-id")


class Publication(Evidence):
    """A bundle is in the feed from this moment on: told to a channel, or to one customer.

    A channel and a customer: his own bundle was taken back, and he hears the channel again, which has this bundle."""

    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="publications")
    channel = models.CharField(max_length=8, choices=Channel.choices)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="publications")
    published_at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    objects = PublicationQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["-id"]
        indexes = [
            # read by triage: what was published since a customer complained
            models.Index(fields=["channel", "published_at"], name="publication_by_channel"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(channel=Channel.CUSTOMER) | Q(customer__isnull=False),
                name="customers_publications_name_one",
            )
        ]

    def __str__(self) -> str:
        if self.is_return:
            return f"{self.bundle} → {self.customer} by {self.channel}"
        return f"{self.bundle} → {self.customer or self.channel}"

    @property
    def is_return(self) -> bool:
        """Did a customer come back to his channel by it?"""
        return self.customer_id is not None and self.channel != Channel.CUSTOMER

    @property
    def to(self) -> str:
        """Who got it: a channel, a customer, or a customer by a channel."""
        if self.is_return:
            return str(
                _("%(customer)s, back on %(channel)s")
                % {"customer": self.customer, "channel": Channel(self.channel).label}
            )
        return str(self.customer or Channel(self.channel).label)


class ReleaseOutcome(Evidence):
    """A release has both signatures and is in the feed; with a bundle, it is published."""

    release = models.OneToOneField(Release, on_delete=models.PROTECT, related_name="outcome")
    publication = models.ForeignKey(Publication, on_delete=models.PROTECT, null=True, related_name="outcomes")
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.release} is in the feed"


class HoldQuerySet(models.QuerySet["Hold"]):
    def open(self) -> HoldQuerySet:
        return self.filter(lifted_at=None)


class Hold(models.Model):
    """Somebody above this room says that a version must not spread: an open complaint, an incident.

    It speaks about verdicts at its threshold or a lower one: a higher threshold may be the very fix."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="holds")
    threshold = models.FloatField()
    source = models.CharField(max_length=64)  # "C-12": whoever placed it lifts it by this name
    reason = models.CharField(max_length=255)
    placed_at = models.DateTimeField(default=timezone.now)
    lifted_at = models.DateTimeField(null=True)

    objects = HoldQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "source"], condition=Q(lifted_at=None), name="one_open_hold_per_source"
            )
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.source}"


class BundleReceipt(Evidence):
    """What a bundle needs per answer, measured on one machine."""

    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="receipts")
    measured = models.JSONField()  # detection.latency.measure_latency
    p50 = models.FloatField()  # microseconds, warm, median window
    p99 = models.FloatField()
    machine = models.CharField(max_length=128)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.bundle}: {self.p99} us"
