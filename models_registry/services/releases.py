"""Releases: a bundle for a channel or a customer, signed by an engineer and a senior expert with keys of their own.

The server checks and composes; it cannot sign. With both signatures the feed tells it, in one transaction."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from detection.bundle import with_receipt
from models_registry.models import (
    ApproverKey,
    Bundle,
    Channel,
    Customer,
    LedgerKind,
    Publication,
    Release,
    ReleaseOutcome,
    ReleaseSignature,
    Stage,
)
from models_registry.services import (
    builder,
    dials,
    feed,
    gates,
    holds,
    ledger,
    publications,
    receipts,
    returns,
    signing_keys,
    snapshots,
)
from models_registry.services import feed_metadata as tuf
from models_registry.services.two_people import PARTNER
from traffic import storage

TOP = "targets"


class ReleaseRefused(ValueError):  # noqa: N818
    """Nothing was written; the message says why, for the person who asked."""


def propose(bundle: Bundle, channel: str, by: User, *, customer: Customer | None = None, reason: str = "") -> Release:
    """Compose what two people sign so that a channel, or one customer, gets this bundle. Raises ReleaseRefused."""
    _refuse_role(by)
    _refuse_bundle(bundle, Channel(channel), customer)
    receipt = receipts.for_release(bundle)
    if why := receipts.refusal(receipt):
        raise ReleaseRefused(why)
    data = with_receipt(storage.get_bytes(bundle.path), receipt.measured)
    digest = hashlib.sha256(data).hexdigest()
    path = f"bundles/{digest}.onnx"
    storage.put_bytes(path, data)
    folder = feed.feed_role(customer) if customer else channel
    target = tuf.target_file(f"{folder}/{bundle.protocol}.onnx", data, _custom(bundle))
    parts = _parts(target, feed.feed_role(customer) if customer else TOP)
    return _made(parts, by, reason, bundle=bundle, channel=channel, customer=customer, path=path, digest=digest)


def propose_again(by: User, reason: str = "") -> Release:
    """Compose the same feed for new signatures: other approvers' keys, new customers, or validity that runs out."""
    _refuse_role(by)
    roles = [role for role in feed.signed_roles() if role != TOP]
    parts = _parts(None, TOP) | {role: tuf.text_of(tuf.next_role(feed.newest(role), timezone.now())) for role in roles}
    return _made(parts, by, reason)


def propose_return(customer: Customer, protocol: str, by: User, reason: str = "") -> Release:
    """Compose what two people sign so that a customer's own bundle of a protocol is taken back. Raises ReleaseRefused.

    His role goes on without it, one version further, so that his appliances take what their channel has."""
    _refuse_role(by)
    _refuse_return(customer, protocol)
    role = feed.feed_role(customer)
    parts = _parts(None, role, without=returns.own_path(customer, protocol))
    return _made(parts, by, reason, channel=Channel.CUSTOMER, customer=customer, takes_back=protocol)


def _refuse_return(customer: Customer, protocol: str) -> None:
    if told := returns.objection(customer, protocol):
        raise ReleaseRefused(told)


def _parts(target: Any, role: str, without: str = "") -> dict[str, str]:
    """Return the metadata to sign by role: the top role, every customer's role that is new, and the one that changes:
    it gets the target, or loses the one of a path."""
    keys = feed.approver_keys()
    root = feed.needed("root").signed
    if len(known := [key for keyid, key in keys.items() if keyid in root.roles[TOP].keyids]) < tuf.APPROVALS:
        raise ReleaseRefused(_("Fewer than two approvers have keys that the root in force names."))
    now = timezone.now()
    customers = [feed.feed_role(customer) for customer in Customer.objects.all()]
    top = tuf.next_targets(feed.newest(TOP), known, customers, now, target if role == TOP else None)
    parts = {TOP: top}
    for name in customers:
        current = feed.newest(name)
        if current is None or name == role:
            parts[name] = tuf.next_role(current, now, target if name == role else None, without)
    return {name: tuf.text_of(part) for name, part in parts.items()}


def _made(parts: dict[str, str], by: User, reason: str, **fields: Any) -> Release:
    with transaction.atomic():
        made = Release.objects.create(
            parts=parts, after=feed.version(TOP), by=by, role=by.role, reason=reason.replace("\0", "")[:255], **fields
        )
        told = {"bundle": str(made.bundle or ""), "channel": made.channel}
        if made.takes_back:
            told |= {"customer": str(made.customer), "takes_back": made.takes_back}
        audit.record(by, "release.proposed", str(made), **told)
    return made


def _custom(bundle: Bundle) -> dict[str, Any]:
    """Return what is signed beside the digest: enough to judge a bundle without opening it."""
    keys = ("registry_name", "version", "threshold", "is_silent", "snapshot_digest", "gate_report_digest")
    return {
        "bundle": bundle.metadata["bundle"],
        "built": bundle.digest,
        "ledger_head": ledger.head()[1],
        "min_product_version": bundle.metadata.get("min_product_version", ""),
        "models": [
            {key: str(model[key]) if key == "threshold" else model[key] for key in keys}  # signed JSON has no floats
            for model in bundle.metadata["models"]
        ],
    }


def _refuse_role(by: User) -> None:
    if not by.has_role(*PARTNER):
        raise ReleaseRefused(_("Releases are for an engineer and a senior expert."))


def _refuse_bundle(bundle: Bundle, channel: Channel, customer: Customer | None) -> None:
    if (channel == Channel.CUSTOMER) != (customer is not None):
        raise ReleaseRefused(_("Name a customer for a release to one customer, and only then."))
    for entry in bundle.entries.select_related("version__detector", "gate_report__snapshot"):
        if entry.version.stage == Stage.RETIRED or (not entry.is_silent and entry.version.stage != Stage.ACTIVE):
            raise ReleaseRefused(
                _("%(version)s is %(stage)s: a loud version must be active, and none may be retired.")
                % {"version": entry.version, "stage": entry.version.get_stage_display()}
            )
        if not entry.is_silent and (told := dials.objection(entry.version, entry.threshold)):
            raise ReleaseRefused(told)
        if entry.gate_report and not _is_newest(entry.gate_report):
            raise ReleaseRefused(
                _("The reference set or the rules have moved since %(bundle)s was built: build it again.")
                % {"bundle": bundle}
            )
    if channel == Channel.CANARY:
        return
    if not bundle.publications.filter(channel=Channel.CANARY).exists():
        raise ReleaseRefused(_("It has not been on the canary channel."))
    if held := holds.against(bundle):
        raise ReleaseRefused(
            _("Held back: %(why)s") % {"why": "; ".join(f"{hold.source}: {hold.reason}" for hold in held)}
        )


def _is_newest(report: Any) -> bool:
    newest = snapshots.newest_snapshot(report.version.detector)
    return newest is not None and newest.pk == report.snapshot_id and report.passed and gates.is_current(report)


# Keys and signatures


@transaction.atomic
def add_key(user: User, pem: bytes) -> ApproverKey:
    """Register the public half of one's key; an older one is revoked. In force once a root names it."""
    _refuse_role(user)
    key = signing_keys.public_key(pem)
    if ApproverKey.objects.filter(keyid=key.keyid).exists():
        raise ReleaseRefused(_("This key is registered already: a key belongs to one person, once."))
    ApproverKey.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())
    made = ApproverKey.objects.create(user=user, keyid=key.keyid, public=tuf.key_values(key))
    audit.record(user, "approver-key.added", key.keyid)
    ledger.record(LedgerKind.ROLE, made, by=user, subject=f"{user.username}: key {key.keyid[:12]}")
    return made


def document(release: Release) -> bytes:
    """Return what an approver takes to his machine."""
    value = {"release": release.pk, "reason": release.reason, "parts": release.parts}
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def is_open(release: Release, newest: int | None = None) -> bool:
    """May it still be signed? Not once it is in the feed, or something else is. `newest`: version of the top role."""
    if hasattr(release, "outcome"):
        return False
    return release.after == (feed.version(TOP) if newest is None else newest)


def replaced_by(release: Release) -> Bundle | None:
    """Return the bundle that those have who would get a release's; None where it is the first, or the same."""
    if release.bundle is None:
        return None
    protocol = release.bundle.protocol
    if release.customer:
        former = publications.in_force(release.customer, protocol)
    else:
        former = builder.in_force(protocol, [release.channel])
    return former if former != release.bundle else None


def sign(release: Release, keyid: str, values: dict[str, str]) -> Publication | None:
    """Take one approver's signatures; with the second person's the release is published. Raises ReleaseRefused."""
    with transaction.atomic():
        feed.lock()
        release = Release.objects.select_for_update().get(pk=release.pk)
        if not is_open(release):
            raise ReleaseRefused(_("The feed has moved on since %(release)s: propose it again.") % {"release": release})
        key = ApproverKey.objects.select_related("user").filter(keyid=keyid, revoked_at=None).first()
        if key is None:
            raise ReleaseRefused(_("Nobody has registered this key."))
        _refuse_signature(release, key, values)
        signature = ReleaseSignature.objects.create(release=release, key=key, role=key.user.role, values=values)
        audit.record(key.user, "release.signed", str(release), key=keyid)
        ledger.record(LedgerKind.APPROVAL, signature, release, by=key.user)
        return _publish(release, key.user) if release.is_signed else None


def _refuse_signature(release: Release, key: ApproverKey, values: dict[str, str]) -> None:
    _refuse_role(key.user)
    if keyid_unknown(key.keyid):
        raise ReleaseRefused(_("The root in force does not name this key yet."))
    if release.signatures.filter(key__user=key.user).exists():
        raise ReleaseRefused(_("%(user)s has signed it already.") % {"user": key.user})
    public = tuf.key_of(key.public)
    if set(values) != set(release.parts) or not all(
        isinstance(values[role], str) and tuf.verify(public, part, values[role]) for role, part in release.parts.items()
    ):
        raise ReleaseRefused(_("The signature does not fit this release and this key."))


def keyid_unknown(keyid: str) -> bool:
    return keyid not in feed.needed("root").signed.roles[TOP].keyids


def _publish(release: Release, by: User) -> Publication | None:
    if release.bundle is not None:  # what was true when it was proposed may not be so any more
        _refuse_bundle(release.bundle, Channel(release.channel), release.customer)
    if release.takes_back and release.customer is not None:
        _refuse_return(release.customer, release.takes_back)
    given = {one.key.keyid: one.values for one in release.signatures.select_related("key")}
    parts = {
        role: tuf.signed_with(part, {keyid: values[role] for keyid, values in given.items()})
        for role, part in release.parts.items()
    }
    feed.publish_parts(parts)
    audit.record(by, "release.published", str(release), channel=release.channel)
    published = None
    if release.bundle is not None:
        published = publications.publish(release, by)
    elif release.takes_back:
        published = publications.come_back(release, by)
    ReleaseOutcome.objects.create(release=release, publication=published)
    return published


def read_signatures(data: bytes) -> tuple[str, dict[str, str]]:
    """Return key id and signatures of a file that `approve` wrote."""
    try:
        value = json.loads(data)
        return str(value["keyid"]), dict(value["signatures"])
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseRefused(_("This is no file that `manage.py approve` wrote.")) from error
