"""Appliances: enrolled by a one-time code, heard by signed messages with a counter that only grows."""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from accounts.models import Token, User
from accounts.services import audit, tokens
from detection.envelopes import Envelope, EnvelopeRefused, unseal
from models_registry.models import (
    CHANNELS,
    Appliance,
    ApplianceReport,
    Bundle,
    Channel,
    Customer,
    EnrolmentCode,
    Publication,
    Release,
    Site,
)
from models_registry.services import feed
from models_registry.services.feed_metadata import VALIDITY

CODE_LASTS = timedelta(days=14)  # a stick may travel
ROOT_DIGITS = 16  # hex digits of the first root's digest inside a code: a false server cannot pose as the feed
TOKEN_DAYS = tokens.MOST_DAYS


class EnrolmentRefused(ValueError):  # noqa: N818
    """The code enrols nobody; the message says why."""


@transaction.atomic
def make_code(site: Site, channel: str, by: User | None = None) -> str:
    """Return a new one-time code for a site; it is shown once and kept nowhere."""
    if channel not in CHANNELS:
        raise EnrolmentRefused(_("An appliance listens to the canary or to the stable channel."))
    root = feed.served("1.root")
    if root is None:
        raise EnrolmentRefused(_("There is no feed yet: an appliance would have nothing to trust."))
    secret = secrets.token_hex(10)
    code = f"{secret}-{hashlib.sha256(root.body.encode()).hexdigest()[:ROOT_DIGITS]}"
    EnrolmentCode.objects.create(
        site=site, channel=channel, digest=_digest(code), by=by, expires_at=timezone.now() + CODE_LASTS
    )
    audit.record(by, "enrolment-code.made", str(site), channel=channel)
    return code


@transaction.atomic
def enrol(code: str, public_key: str) -> dict[str, Any]:
    """Use up a code: the key it came with becomes an appliance. Return what the appliance needs to know."""
    now = timezone.now()
    found = EnrolmentCode.objects.select_related("site__customer").filter(digest=_digest(code.strip())).first()
    if found is None or found.expires_at <= now:
        raise EnrolmentRefused(_("This code is unknown or has expired."))
    if not _is_key(public_key):
        raise EnrolmentRefused(_("The public key is no ed25519 key (64 hex digits)."))
    if not EnrolmentCode.objects.filter(pk=found.pk, used_at=None).update(used_at=now):
        raise EnrolmentRefused(_("This code has been used."))
    name = f"a{secrets.token_hex(10)}"
    token, secret = tokens.make_token(Token.Kind.APPLIANCE, name, days=TOKEN_DAYS)
    appliance = Appliance.objects.create(
        site=found.site, name=name, public_key=public_key, channel=found.channel, token=token, last_contact_at=now
    )
    audit.record(None, "appliance.enrolled", str(appliance), channel=found.channel)
    root = feed.served("1.root")
    assert root is not None  # a code is made of it
    role = feed.feed_role(found.site.customer)
    return {"appliance": name, "channel": found.channel, "role": role, "token": secret, "root": root.body}


@transaction.atomic
def retire(appliance: Appliance, by: User | None = None) -> None:
    """Trust nothing of an appliance any more: its token ends and its messages are refused."""
    if Appliance.objects.filter(pk=appliance.pk, retired_at=None).update(retired_at=timezone.now()):
        Token.objects.filter(pk=appliance.token_id, revoked_at=None).update(revoked_at=timezone.now())
        audit.record(by, "appliance.retired", str(appliance))


def signed(data: bytes, kind: str, known: Appliance | None = None) -> tuple[Appliance, Envelope]:
    """Return a message and the enrolled appliance that signed it, whatever its counter. Raises EnvelopeRefused.

    `known`: whose token came with it; a message of another is refused."""

    def key_of_known(name: str) -> str:
        assert known is not None
        if name != known.name:
            raise EnvelopeRefused(f"the token is not of appliance {name[:40]!r}, which signed the message")
        return known.public_key

    said = unseal(data, key_of_known if known else _key_of)
    if said.kind != kind:
        raise EnvelopeRefused(f"this is a {said.kind[:20]!r} message, expected is a {kind}")
    if known is not None:
        return known, said
    return Appliance.objects.select_related("site__customer").get(name=said.appliance), said


@transaction.atomic
def hear(data: bytes, kind: str) -> tuple[Appliance, Envelope]:
    """Return a message and who sent it: signed by an enrolled appliance, and newer than all before. EnvelopeRefused."""
    sender, said = signed(data, kind)
    appliance = Appliance.objects.select_for_update().select_related("site__customer").get(pk=sender.pk)
    if not Appliance.objects.filter(pk=appliance.pk, counter__lt=said.counter).update(
        counter=said.counter, last_contact_at=timezone.now()
    ):
        raise EnvelopeRefused(f"message {said.counter} is no newer than message {appliance.counter}, which came before")
    return appliance, said


@transaction.atomic
def report(data: bytes) -> list[ApplianceReport]:
    """Keep what an appliance says about the bundles it runs. Raises EnvelopeRefused."""
    appliance, said = hear(data, "report")
    try:
        told = [_report(appliance, protocol, one, said.body) for protocol, one in said.body["bundles"].items()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EnvelopeRefused("the report is not of the form of docs/formats/telemetry.md") from error
    return ApplianceReport.objects.bulk_create(told)


def _report(appliance: Appliance, protocol: str, one: dict[str, Any], body: dict[str, Any]) -> ApplianceReport:
    since = parse_datetime(one["since"])
    digest = str(one["digest"])
    if since is None or since.tzinfo is None or not _is_key(digest) or not protocol.isalnum():
        raise ValueError("since, digest or protocol")
    return ApplianceReport(
        appliance=appliance,
        bundle=bundle_of(digest),
        digest=digest,
        protocol=protocol[:16],
        since=since,
        product_version=str(body.get("product_version", "")).replace("\0", "")[:32],
        stale_hours=min(max(int(body.get("stale_hours", 0)), 0), 1_000_000),
    )


def bundle_of(digest: str) -> Bundle | None:
    """Return the bundle of a delivered file."""
    release = Release.objects.filter(digest=digest).select_related("bundle").first()
    return release.bundle if release else Bundle.objects.filter(digest=digest).first()


# What the page of sites shows


@dataclass(frozen=True, slots=True)
class Sent:
    """What the feed has for an appliance: the newest publication of a protocol that reaches it."""

    protocol: str
    bundle: Bundle
    since: datetime
    is_own: bool  # its customer's alone


@dataclass(frozen=True, slots=True)
class Running:
    """What one appliance runs, as far as it has told."""

    appliance: Appliance
    reports: list[ApplianceReport]  # newest of each protocol
    sent: list[Sent]  # what it is to run, by protocol
    behind: int  # publications it has not taken
    heard: datetime | None

    @property
    def is_current(self) -> bool:
        """Does it run what is in force for it, as far as it has told?"""
        return bool(self.reports) and not self.behind

    @property
    def is_quiet(self) -> bool:
        """Has it been silent for so long that the feed's word has run out since?"""
        return self.heard is None or timezone.now() - self.heard > VALIDITY.timestamp


def running(customer: Customer | None = None) -> list[Running]:
    """Return the appliances that are in use with what they run: of a customer, or all."""
    used = Appliance.objects.filter(retired_at=None)
    if customer:
        used = used.filter(site__customer=customer)
    found = list(used.select_related("site__customer"))
    if not found:
        return []
    newest = (
        ApplianceReport.objects.filter(appliance__in=used.order_by().values("pk"))
        .values("appliance", "protocol")
        .annotate(newest=Max("id"))
        .order_by()
    )
    reports: dict[int, list[ApplianceReport]] = {}
    chosen = ApplianceReport.objects.filter(pk__in=[row["newest"] for row in newest])
    for one in chosen.select_related("bundle").order_by("protocol"):
        reports.setdefault(one.appliance_id, []).append(one)
    columns = ("bundle_id", "channel", "customer_id", "published_at", "reads")
    told = list(Publication.objects.reading().order_by("id").values_list(*columns, named=True))
    heard = {one.pk: _heard(one, told) for one in found}
    last = {lists[-1].bundle_id for mine in heard.values() for lists in mine.values()}
    bundles = Bundle.objects.defer("config", "metadata").in_bulk(last)
    return [_running(one, reports.get(one.pk, []), heard[one.pk], bundles) for one in found]


def _heard(appliance: Appliance, told: Iterable[Any]) -> dict[str, list[Any]]:
    """Return what has reached an appliance by protocol, oldest first: `PublicationQuerySet.reaching` for many."""
    customer, found = appliance.site.customer_id, defaultdict(list)
    own: set[str] = set()  # protocols of which its customer has a bundle of his own
    for one in told:
        if one.customer_id == customer:
            (own.add if one.channel == Channel.CUSTOMER else own.discard)(one.reads)
            if one.channel in (Channel.CUSTOMER, appliance.channel):
                found[one.reads].append(one)
        elif one.customer_id is None and one.channel == appliance.channel and one.reads not in own:
            found[one.reads].append(one)
    return found


def _running(
    appliance: Appliance, reports: list[ApplianceReport], heard: dict[str, list[Any]], bundles: dict[int, Bundle]
) -> Running:
    runs = {one.protocol: one.bundle_id for one in reports}
    sent, behind = [], 0
    for protocol, mine in sorted(heard.items()):
        newest = mine[-1]
        is_own = newest.channel == Channel.CUSTOMER
        sent.append(Sent(protocol, bundles[newest.bundle_id], newest.published_at, is_own))
        later = takewhile(lambda one: one.bundle_id != runs.get(protocol), reversed(mine))  # noqa: B023 (used at once)
        behind += sum(1 for _one in later)
    return Running(appliance, reports, sent, behind, appliance.last_contact_at)


def known(name: str) -> Appliance | None:
    """Return the appliance of a name, None where it is not enrolled or not trusted any more."""
    return Appliance.objects.filter(name=name, retired_at=None).select_related("site__customer").first()


def _key_of(name: str) -> str | None:
    return Appliance.objects.filter(name=name, retired_at=None).values_list("public_key", flat=True).first()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _is_key(text: str) -> bool:
    """32 bytes in hex: a public key, or a digest."""
    try:
        return isinstance(text, str) and len(bytes.fromhex(text)) == 32
    except ValueError:
        return False
