"""Publications: a bundle left for a channel or a customer. A release that two people signed is the only way."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from models_registry.models import Bundle, Customer, LedgerKind, Publication, Release
from models_registry.services import ledger


class NotReleased(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was published: an engineer and a senior expert have not both signed."""


@transaction.atomic
def publish(release: Release, by: User | None = None) -> Publication:
    """Record that the bundle of a release is in the feed; the one in force there again changes nothing.

    Clocks of complaints stop at this row. Raises NotReleased."""
    if release.bundle is None or not release.is_signed:
        raise NotReleased(_("%(release)s is not signed by two people.") % {"release": release})
    where = {"channel": release.channel, "customer": release.customer}
    newest = Publication.objects.filter(**where).order_by("-id").first()
    if newest is not None and newest.bundle_id == release.bundle_id:
        return newest
    published = Publication.objects.create(bundle=release.bundle, by=by, **where)
    audit.record(by, "bundle.published", str(release.bundle), to=str(release.customer or release.channel))
    ledger.record(LedgerKind.PUBLICATION, published, by=by)
    return published


def in_force(customer: Customer, protocol: str = "") -> Bundle | None:
    """Return the bundle that was published to a customer last, None before the first; any protocol's when not named."""
    newest = Publication.objects.reaching(customer, protocol=protocol).select_related("bundle").first()
    return newest.bundle if newest else None
