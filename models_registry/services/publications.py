"""Publications: a bundle left for a channel or a customer. A release that two people signed is the only way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from models_registry.models import CHANNELS, Bundle, Channel, Customer, LedgerKind, Publication, Release
from models_registry.services import ledger


class NotReleased(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was published: an engineer and a senior expert have not both signed."""


@transaction.atomic
def publish(release: Release, by: User | None = None) -> Publication:
    """Record that the bundle of a release is in the feed; the one in force there again changes nothing.

    Clocks of complaints stop at this row. Raises NotReleased."""
    if release.bundle is None or not release.is_signed:
        raise NotReleased(_("%(release)s is not signed by two people.") % {"release": release})
    told = Publication.objects
    protocol = release.bundle.protocol
    known = told.own(release.customer).of(protocol) if release.customer else told.on(release.channel, protocol)
    newest = known.first()
    if newest is not None and (newest.bundle_id, newest.channel) == (release.bundle_id, release.channel):
        return newest
    return _told(by, bundle=release.bundle, channel=release.channel, customer=release.customer)


@transaction.atomic
def come_back(release: Release, by: User | None = None) -> Publication | None:
    """Record that a customer hears the channels again whose bundle his own one hid; return what stable has for him.

    One row per channel that has a bundle of the protocol: at this moment it reaches him. Raises NotReleased."""
    if not release.takes_back or release.customer is None or not release.is_signed:
        raise NotReleased(_("%(release)s is not signed by two people.") % {"release": release})
    made = None
    for channel in CHANNELS:
        newest = Publication.objects.newest(channel, release.takes_back)
        if newest is not None:
            made = _told(by, bundle=newest.bundle, channel=channel, customer=release.customer)
    return made


def _told(by: User | None, **fields: Any) -> Publication:
    made = Publication.objects.create(by=by, **fields)
    audit.record(by, "bundle.published", str(made.bundle), to=str(made).partition(" → ")[2])
    ledger.record(LedgerKind.PUBLICATION, made, by=by)
    return made


def channels_of(customer: Customer) -> list[str]:
    """Return the channels that the appliances of a customer listen to; stable before the first appliance."""
    found = customer.sites.filter(appliances__retired_at=None).values_list("appliances__channel", flat=True)
    return sorted({channel for channel in found if channel}) or [Channel.STABLE.value]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a customer's appliances on a channel are to run of a protocol, and since when."""

    channel: str
    protocol: str
    publication: Publication

    @property
    def channel_name(self) -> str:
        return str(Channel(self.channel).label)

    @property
    def is_own(self) -> bool:
        return self.publication.channel == Channel.CUSTOMER


def standings(customer: Customer) -> list[Standing]:
    """Return what is in force for a customer, by protocol and by each channel that he hears."""
    found = []
    for channel in channels_of(customer):
        heard = Publication.objects.reaching(customer, channel).select_related("bundle", "customer")
        for protocol in heard.protocols():
            newest = heard.of(protocol).first()
            assert newest is not None  # it was among them
            found.append(Standing(channel, protocol, newest))
    return sorted(found, key=lambda one: (one.protocol, one.channel))


def in_force(customer: Customer, protocol: str = "") -> Bundle | None:
    """Return the bundle that was published to a customer last, None before the first; any protocol's when not named."""
    newest = Publication.objects.reaching(customer, protocol=protocol).select_related("bundle").first()
    return newest.bundle if newest else None
