"""The delivery feed as it is served: its metadata files are rows, added and never edited. Signs what the server may."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from models_registry.models import ApproverKey, Customer, FeedFile
from models_registry.services import feed_metadata as tuf
from models_registry.services import signing_keys


class NoFeed(ValueError):  # noqa: N818
    """There is no feed yet, or a part of it is missing; the message says which."""


class RootRefused(ValueError):  # noqa: N818
    """The new root is not signed as the one in force demands."""


def newest(role: str) -> Metadata[Any] | None:
    """Return the newest metadata of a role."""
    found = newest_file(role)
    return tuf.read(found.body) if found else None


def newest_file(role: str) -> FeedFile | None:
    return FeedFile.objects.filter(role=role).order_by("-version").first()


def needed(role: str) -> Metadata[Any]:
    found = newest(role)
    if found is None:
        raise NoFeed(f"the feed has no {role} yet: docs/operations/delivery.md tells how it is made")
    return found


def version(role: str) -> int:
    found = newest_file(role)
    return found.version if found else 0


def served(name: str) -> FeedFile | None:
    """Return the file of a metadata address without its `.json`: `timestamp`, or `4.root`."""
    number, _dot, role = name.rpartition(".")
    if not number:
        return newest_file(role) if role == "timestamp" else None
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    return FeedFile.objects.filter(role=role, version=int(number)).first()


def feed_role(customer: Customer) -> str:
    """Return the opaque name of a customer's role, made when first asked for."""
    if not customer.feed_role:
        Customer.objects.filter(pk=customer.pk, feed_role="").update(feed_role=f"c{secrets.token_hex(12)}")
        customer.refresh_from_db(fields=["feed_role"])
    return customer.feed_role


# Root


def prepare_root(root_keys: list[Any], threshold: int, now: datetime) -> Metadata[Root]:
    """Return the next root, unsigned: the given root keys, the approvers' keys in use, the server's own."""
    signing_keys.make_online_keys()
    online = {name: signer.public_key for name, signer in signing_keys.online_signers().items()}
    return tuf.make_root(
        version=version("root") + 1,
        roots=root_keys,
        threshold=threshold,
        approvers=approver_keys().values(),
        online=online,
        now=now,
    )


def approver_keys() -> dict[str, Any]:
    """Return the public keys of approvers that are in use, by key id."""
    return {key.keyid: tuf.key_of(key.public) for key in ApproverKey.objects.filter(revoked_at=None)}


@transaction.atomic
def install_root(data: bytes) -> FeedFile:
    """Put a root in force that its predecessor's keys and its own have signed. Raises RootRefused."""
    current = newest("root")
    try:
        new = tuf.read(data)
        if not isinstance(new.signed, Root):
            raise ValueError("this is no root")
        tuf.check_next_root(new, current)
    except (RepositoryError, ValueError) as error:
        raise RootRefused(str(error)) from error
    made = FeedFile.objects.create(
        role="root", version=new.signed.version, body=data.decode(), expires_at=new.signed.expires
    )
    if current is not None and newest_file("targets"):
        _sign_online(timezone.now(), tuf.VALIDITY.snapshot, tuf.VALIDITY.timestamp)  # their keys may be others now
    return made


# What two people have signed, and what the server adds


def publish_parts(parts: dict[str, Metadata[Any]]) -> None:
    """Put signed roles in force and tell them by a new snapshot and timestamp. Call inside atomic()."""
    lock()
    for role, metadata in parts.items():
        _keep(role, metadata)
    _sign_online(timezone.now(), tuf.VALIDITY.snapshot, tuf.VALIDITY.timestamp)


def lock() -> None:
    """One writer of the feed at a time."""
    FeedFile.objects.select_for_update().filter(role="root").order_by("-version").first()


@transaction.atomic
def refresh(now: datetime) -> bool:
    """Sign timestamp and snapshot anew when half their time is over; say whether it was needed."""
    lock()
    timestamp, snapshot = newest_file("timestamp"), newest_file("snapshot")
    if timestamp is None or snapshot is None:
        return False
    fresh = timestamp.expires_at - now > tuf.VALIDITY.timestamp / 2
    if fresh and snapshot.expires_at - now > tuf.VALIDITY.snapshot / 2:
        return False
    _sign_online(now, tuf.VALIDITY.snapshot, tuf.VALIDITY.timestamp)
    return True


@transaction.atomic
def sign_for_stick(now: datetime, validity: timedelta) -> list[FeedFile]:
    """Return snapshot and timestamp that stay valid for longer, for a copy that travels.

    The feed itself goes on with short-lived ones: whoever is connected learns of a freeze in days."""
    lock()
    needed("targets")
    made = _sign_online(now, validity, validity)
    _sign_online(now, tuf.VALIDITY.snapshot, tuf.VALIDITY.timestamp)
    return made


def _sign_online(now: datetime, snapshot_for: timedelta, timestamp_for: timedelta) -> list[FeedFile]:
    signers = signing_keys.online_signers()
    versions = {role: version(role) for role in signed_roles()}
    snapshot = tuf.next_snapshot(newest("snapshot"), versions, now + snapshot_for)
    tuf.sign(snapshot, signers["snapshot"])
    timestamp = tuf.next_timestamp(newest("timestamp"), snapshot, now + timestamp_for)
    tuf.sign(timestamp, signers["timestamp"])
    root = needed("root")
    for name, metadata in (("snapshot", snapshot), ("timestamp", timestamp)):
        if not tuf.trusts(root, name, metadata):
            raise NoFeed(f"the root in force does not know the server's {name} key: sign and install a new root")
    return [_keep("snapshot", snapshot), _keep("timestamp", timestamp)]


def signed_roles() -> list[str]:
    others = FeedFile.objects.exclude(role__in=("root", "snapshot", "timestamp"))
    return sorted(set(others.order_by().values_list("role", flat=True)))


def _keep(role: str, metadata: Metadata[Any]) -> FeedFile:
    signed = metadata.signed
    return FeedFile.objects.create(
        role=role, version=signed.version, body=tuf.text_of(metadata), expires_at=signed.expires
    )
