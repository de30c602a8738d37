"""Publishing a bundle, as far as the house itself is concerned: the row that clocks and feeds read."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from accounts.services import audit
from models_registry.models import Bundle, Channel, Customer, LedgerKind, Publication
from models_registry.services import ledger


@transaction.atomic
def publish(
    bundle: Bundle, customer: Customer | None = None, by: User | None = None, channel: str = Channel.STABLE
) -> Publication:
    """Record that a bundle is published, to one customer or to all on a channel.

    The one in force there again changes nothing. Whoever calls this has made sure that the release was approved."""
    channel = Channel.CUSTOMER if customer else channel
    newest = Publication.objects.filter(channel=channel, customer=customer).order_by("-id").first()
    if newest is not None and newest.bundle_id == bundle.pk:
        return newest
    published = Publication.objects.create(bundle=bundle, channel=channel, customer=customer, by=by)
    audit.record(by, "bundle.published", str(bundle), to=str(customer or channel))
    ledger.record(LedgerKind.PUBLICATION, published, by=by)
    return published


def in_force(customer: Customer) -> Bundle | None:
    """Return the bundle that was published to a customer last, None before the first."""
    newest = Publication.objects.reaching(customer).select_related("bundle").first()
    return newest.bundle if newest else None
