"""Appliances: enrolled by a one-time code, heard by signed messages with a counter that only grows."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    EnrolmentCode,
    Publication,
    Release,
    Site,
)
from models_registry.services import feed

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
class Running:
    """What one appliance runs, as far as it has told."""

    appliance: Appliance
    reports: list[ApplianceReport]  # newest of each protocol
    expected: list[Bundle]  # what the feed has for it, by protocol
    behind: int  # publications it has not taken
    heard: datetime | None


def running() -> list[Running]:
    """Return all appliances that are in use with what they run."""
    found = Appliance.objects.filter(retired_at=None).select_related("site__customer")
    newest = ApplianceReport.objects.values("appliance", "protocol").annotate(newest=Max("id")).order_by()
    reports: dict[int, list[ApplianceReport]] = {}
    chosen = ApplianceReport.objects.filter(pk__in=[row["newest"] for row in newest])
    for one in chosen.select_related("bundle").order_by("protocol"):
        reports.setdefault(one.appliance_id, []).append(one)
    published = list(Publication.objects.select_related("bundle").order_by("-id")[:1000])
    return [_running(one, reports.get(one.pk, []), published) for one in found]


def _running(appliance: Appliance, reports: list[ApplianceReport], published: list[Publication]) -> Running:
    customer = appliance.site.customer_id
    mine = [one for one in published if (one.customer_id or customer) == customer and _hears(appliance, one)]
    expected: dict[str, Bundle] = {}
    behind = 0
    runs = {one.protocol: one.bundle_id for one in reports}
    reached: set[str] = set()
    for one in sorted(mine, key=lambda one: (one.customer_id is None, -one.pk)):  # his own role comes first
        expected.setdefault(one.bundle.protocol, one.bundle)
    for one in mine:  # newest first
        protocol = one.bundle.protocol
        if one.bundle_id == runs.get(protocol):
            reached.add(protocol)
        elif protocol not in reached:
            behind += 1
    behind = 0 if all(runs.get(protocol) == bundle.pk for protocol, bundle in expected.items()) else behind
    return Running(appliance, reports, list(expected.values()), behind, appliance.last_contact_at)


def _hears(appliance: Appliance, publication: Publication) -> bool:
    return publication.channel == appliance.channel or publication.customer_id is not None


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
