"""A customer's return to his channel: what his own bundle hides from him, what he gets instead, why he may not."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from models_registry.models import Bundle, Channel, Customer, Hold, Publication, Stage
from models_registry.services import builder, feed, holds, publications


@dataclass(frozen=True, slots=True)
class Gets:
    """What one channel has for a customer who comes back to it."""

    channel: str
    publication: Publication | None
    changes: list[builder.Change] = field(default_factory=list)  # against his own bundle
    held: list[Hold] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(Channel(self.channel).label)


@dataclass(frozen=True, slots=True)
class Own:
    """A bundle of a customer's own that is in force, and what taking it back would mean."""

    protocol: str
    publication: Publication
    missed: int  # bundles that his channels got since, and he did not
    gets: list[Gets]
    objection: str  # why it cannot be taken back; empty: it can


def own_path(customer: Customer, protocol: str) -> str:
    """Return the address of a customer's own bundle in his role of the feed."""
    return f"{feed.feed_role(customer)}/{protocol}.onnx"


def of(customer: Customer) -> list[Own]:
    """Return the bundles of a customer's own that are in force, by protocol."""
    newest: dict[str, Publication] = {}
    for one in Publication.objects.own(customer).select_related("bundle"):
        newest.setdefault(one.bundle.protocol, one)
    mine = [(protocol, one) for protocol, one in sorted(newest.items()) if one.channel == Channel.CUSTOMER]
    return [_own(customer, protocol, one) for protocol, one in mine]


def _own(customer: Customer, protocol: str, own: Publication) -> Own:
    gets = [_gets(channel, own.bundle, protocol) for channel in publications.channels_of(customer)]
    later = [Publication.objects.on(one.channel, protocol).filter(pk__gt=own.pk).count() for one in gets]
    return Own(protocol, own, max(later), gets, objection(customer, protocol))


def _gets(channel: str, own: Bundle, protocol: str) -> Gets:
    newest = Publication.objects.newest(channel, protocol)
    if newest is None:
        return Gets(channel, None)
    return Gets(channel, newest, builder.changes_between(own, newest.bundle), holds.against(newest.bundle))


def objection(customer: Customer, protocol: str) -> str:
    """Return why a customer's own bundle cannot be taken back; empty where it can."""
    role = feed.newest(feed.feed_role(customer))
    if role is None or own_path(customer, protocol) not in role.signed.targets:
        told = _("%(customer)s has no %(protocol)s bundle of his own.")
        return told % {"customer": customer, "protocol": protocol[:16]}
    for channel in publications.channels_of(customer):
        label = Channel(channel).label
        newest = Publication.objects.newest(channel, protocol)
        if newest is None:
            told = _("The channel %(channel)s has no %(protocol)s bundle: his appliances would go on with his own.")
            return told % {"channel": label, "protocol": protocol}
        if why := _unfit(newest.bundle):
            told = _("The channel %(channel)s has %(bundle)s: %(why)s. Release a better one to the channel first.")
            return told % {"channel": label, "bundle": newest.bundle, "why": why}
    return ""


def _unfit(bundle: Bundle) -> str:
    """Return what is known against a bundle that a channel has: open complaints and incidents, versions taken out."""
    known = [f"{hold.source}: {hold.reason}" for hold in holds.against(bundle)]
    loud = bundle.entries.filter(is_silent=False).exclude(version__stage=Stage.ACTIVE)
    for entry in loud.select_related("version__detector"):
        told = _("%(version)s is %(stage)s")
        known.append(told % {"version": entry.version, "stage": entry.version.get_stage_display()})
    return "; ".join(known)
