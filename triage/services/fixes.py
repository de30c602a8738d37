"""A fix on its way to a customer: what newer versions say of his session, and which release brings him the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detection.thresholds import raw_threshold, sigmoid
from labeling.services.records import from_json
from models_registry.models import Bundle, Channel, Customer, Publication, Release, Version
from models_registry.services import feed, releases
from triage.models import Complaint, State
from triage.services import cases

NEWEST = 3  # versions that are named
TRIED = 100  # complaints of a customer that are tried on a bundle


@dataclass(frozen=True, slots=True)
class Try:
    """What a version made since the case was confirmed says of the session."""

    version: Version
    score: float
    flags: bool


def tries(complaint: Complaint) -> list[Try]:
    """Return the newest versions made since the case of a complaint was confirmed, and whether they still flag it."""
    if complaint.detector is None or not complaint.row:
        return []
    row = from_json(complaint.row)
    newest = list(cases.made_since_confirmed(complaint).order_by("-number")[:NEWEST])
    raws = [(version, cases.raw_of(version, row)) for version in newest]
    return [Try(version, sigmoid(raw), raw >= raw_threshold(version.threshold)) for version, raw in raws]


def already(complaint: Complaint) -> Publication | None:
    """Return what the customer was sent that does not flag his session: known before any expert looks."""
    if complaint.version is None or not complaint.row:
        return None
    return cases.published_fix(complaint, from_json(complaint.row))


@dataclass(frozen=True, slots=True)
class InForce:
    """How a fix stands with the customer: since when what he is sent does not flag his session, or that it does again.

    Of his sites on the stable channel: those on canary hear earlier."""

    first: Publication  # that brought the fix
    now: Publication  # what is in force for him
    flags: bool  # and flags it again


def in_force(complaint: Complaint) -> InForce | None:
    """Return how the fix of a complaint stands with its customer; None before one was published to him."""
    if complaint.detector is None:
        return None
    row = from_json(complaint.row) if complaint.row else None
    first = cases.published_fix(complaint, row)
    if first is None:
        return None
    heard = Publication.objects.reaching(complaint.customer, protocol=complaint.detector.protocol)
    now = heard.select_related("bundle", "customer").first()
    assert now is not None  # the fix is among them
    return InForce(first, now, now.bundle_id != first.bundle_id and cases.says(now.bundle, complaint, row))


def flagged_again(customer: Customer, bundle: Bundle) -> tuple[int, list[Complaint]]:
    """Try a customer's newest confirmed complaints on a bundle: how many were tried, and those that it flags."""
    confirmed = Complaint.objects.filter(customer=customer, detector__protocol=bundle.protocol, erased_at=None)
    confirmed = confirmed.filter(states__state=State.CONFIRMED).exclude(row="").distinct()
    tried = list(confirmed.select_related("detector", "version").order_by("-id")[:TRIED])
    return len(tried), [one for one in tried if cases.says(bundle, one, from_json(one.row))]


@dataclass(frozen=True, slots=True)
class WayOut:
    """How a bundle gets to a customer: releases that wait for signatures, else those that may be proposed."""

    waiting: Sequence[Release]
    ahead: Sequence[str] = ()  # channels, the usual one first


def way_out(bundle: Bundle, customer: Customer) -> WayOut:
    """Return what brings a bundle to a customer. Nobody publishes alone: two people sign a release."""
    newest = feed.version(releases.TOP)
    composed = bundle.releases.filter(outcome=None).select_related("customer").prefetch_related("signatures__key__user")
    waiting = [one for one in composed if one.customer_id in (None, customer.pk) and releases.is_open(one, newest)]
    if waiting:
        return WayOut(waiting)
    if not bundle.publications.filter(channel=Channel.CANARY).exists():
        return WayOut((), (Channel.CANARY,))
    told = Publication.objects.own(customer).of(bundle.protocol).first()
    if told is not None and not told.is_return:  # a channel does not reach him any more
        return WayOut((), (Channel.CUSTOMER,))
    return WayOut((), (Channel.STABLE, Channel.CUSTOMER))
