"""The feed's metadata as values (The Update Framework): who may sign what, and what comes next. No database here.

Roles: `root` (offline, names all keys), `targets` (two approvers: channels and delegations), one delegated role per
customer under an opaque name (two approvers), `snapshot` and `timestamp` (the server's)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from securesystemslib.signer import Key, Signature, Signer, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

APPROVALS = 2  # signatures under targets and under every customer's role
ONLINE = ("snapshot", "timestamp")


@dataclass(frozen=True, slots=True)
class Validity:
    """How long metadata counts. An appliance with expired metadata goes on scoring, and takes nothing new."""

    root: timedelta = timedelta(days=1095)
    targets: timedelta = timedelta(days=365)
    snapshot: timedelta = timedelta(days=14)
    timestamp: timedelta = timedelta(days=3)


VALIDITY = Validity()


def key_of(values: Mapping[str, Any]) -> SSlibKey:
    """Return a public key as TUF writes it, with its id among the values."""
    rest = dict(values)
    return SSlibKey.from_dict(rest.pop("keyid"), rest)


def key_values(key: Key) -> dict[str, Any]:
    return {"keyid": key.keyid, **key.to_dict()}


def text_of(metadata: Metadata[Any]) -> str:
    return metadata.to_bytes(JSONSerializer(compact=True)).decode()


def read(text: str | bytes) -> Metadata[Any]:
    """Return metadata; RepositoryError where it is none."""
    return Metadata.from_bytes(text if isinstance(text, bytes) else text.encode())


# Root


def make_root(
    *,
    version: int,
    roots: Iterable[Key],
    threshold: int,
    approvers: Iterable[Key],
    online: Mapping[str, Key],
    now: datetime,
    validity: Validity = VALIDITY,
) -> Metadata[Root]:
    """Return an unsigned root that names these keys."""
    root = Root(version=version, expires=_until(now, validity.root), consistent_snapshot=True)
    for name, keys, needed in (
        ("root", list(roots), threshold),
        ("targets", list(approvers), APPROVALS),
        *((name, [online[name]], 1) for name in ONLINE),
    ):
        root.roles[name] = Role([], needed)
        for key in keys:
            root.add_key(key, name)
        if len(root.roles[name].keyids) < needed:
            raise ValueError(f"{name} needs {needed} keys, {len(root.roles[name].keyids)} are given")
    return Metadata(root)


def check_next_root(new: Metadata[Root], current: Metadata[Root] | None) -> None:
    """Refuse a root that is not signed by itself and by the one before it, or is not the next version."""
    expected = current.signed.version + 1 if current else 1
    if new.signed.version != expected:
        raise ValueError(f"this is version {new.signed.version} of the root, expected is version {expected}")
    if new.signed.roles["targets"].threshold < APPROVALS:
        raise ValueError("it lets something out that two people have not signed")
    for trusted, whose in ((current, "the root in force"), (new, "this root itself")):
        if trusted is None:
            continue
        found = trusted.signed.get_verification_result("root", new.signed_bytes, new.signatures)
        if not found.verified:
            raise ValueError(f"it is signed by {len(found.signed)} of {found.threshold} keys that {whose} names")


# What two people sign


def next_targets(
    current: Metadata[Targets] | None,
    approvers: Iterable[Key],
    roles: Iterable[str],
    now: datetime,
    target: TargetFile | None = None,
    validity: Validity = VALIDITY,
) -> Metadata[Targets]:
    """Return the next top role: its targets, one more or replaced, and a delegation for every customer."""
    targets = dict(current.signed.targets) if current else {}
    if target:
        targets[target.path] = target
    keys = {key.keyid: key for key in approvers}
    delegated = {
        name: DelegatedRole(name, sorted(keys), APPROVALS, terminating=True, paths=[f"{name}/*"])
        for name in sorted(roles)
    }
    version = current.signed.version + 1 if current else 1
    delegations = Delegations(keys, delegated) if delegated else None
    return Metadata(Targets(version, None, _until(now, validity.targets), targets, delegations))


def next_role(
    current: Metadata[Targets] | None,
    now: datetime,
    target: TargetFile | None = None,
    without: str = "",
    validity: Validity = VALIDITY,
) -> Metadata[Targets]:
    """Return the next version of a customer's role: a target more or replaced, or without the one of a path."""
    targets = dict(current.signed.targets) if current else {}
    targets.pop(without, None)
    if target:
        targets[target.path] = target
    return Metadata(Targets(current.signed.version + 1 if current else 1, None, _until(now, validity.targets), targets))


def target_file(path: str, data: bytes, custom: Mapping[str, Any]) -> TargetFile:
    """Return a target of these bytes; `custom` is signed with it."""
    hashes = {"sha256": hashlib.sha256(data).hexdigest()}
    return TargetFile(len(data), hashes, path, {"custom": dict(custom)})


def signed_with(part: str, signatures: Mapping[str, str]) -> Metadata[Any]:
    """Return metadata with signatures (key id → hex)."""
    metadata = read(part)
    for keyid, value in signatures.items():
        metadata.signatures[keyid] = Signature(keyid, value)
    return metadata


def verify(key: Key, part: str, signature: str) -> bool:
    """Is this the key's signature under the part?"""
    try:
        key.verify_signature(Signature(key.keyid, signature), read(part).signed_bytes)
    except Exception:  # its own error, and whatever a hostile value makes the decoder raise
        return False
    return True


def describe(parts: dict[str, str]) -> list[str]:
    """Return what the signed metadata itself says, for the person who signs: no other words count."""
    lines = []
    for role, part in sorted(parts.items()):
        signed = read(part).signed
        lines.append(f"{role}, version {signed.version}, valid until {signed.expires:%Y-%m-%d}")
        for path, target in sorted(signed.targets.items()):
            custom = target.custom or {}
            lines.append(f"  {path}: bundle {custom.get('bundle', '?')[:12]}, sha256 {target.hashes['sha256']}")
            for model in custom.get("models", ()):
                speaks = "silent" if model["is_silent"] else "LOUD"
                lines.append(f"    {model['registry_name']}:{model['version']} >= {model['threshold']} {speaks}")
        if not signed.targets:
            lines.append("  NOTHING: the appliances of this role take what their channel has")
    return lines


# What the server signs


def next_snapshot(
    current: Metadata[Snapshot] | None, versions: Mapping[str, int], expires: datetime
) -> Metadata[Snapshot]:
    """Return the next snapshot: the versions of targets and of every customer's role."""
    version = current.signed.version + 1 if current else 1
    meta = {f"{name}.json": MetaFile(number) for name, number in sorted(versions.items())}
    return Metadata(Snapshot(version, None, _whole(expires), meta))


def next_timestamp(
    current: Metadata[Timestamp] | None, snapshot: Metadata[Snapshot], expires: datetime
) -> Metadata[Timestamp]:
    """Return the next timestamp: it names the snapshot by version, length and digest."""
    version = current.signed.version + 1 if current else 1
    body = text_of(snapshot).encode()
    meta = MetaFile(snapshot.signed.version, len(body), {"sha256": hashlib.sha256(body).hexdigest()})
    return Metadata(Timestamp(version, None, _whole(expires), meta))


def sign(metadata: Metadata[Any], signer: Signer) -> None:
    metadata.sign(signer, append=True)


def trusts(root: Metadata[Root], name: str, metadata: Metadata[Any]) -> bool:
    """Has this metadata the signatures that the root asks of a top role?"""
    try:
        root.signed.verify_delegate(name, metadata.signed_bytes, metadata.signatures)
    except RepositoryError:
        return False
    return True


def _until(now: datetime, time: timedelta) -> datetime:
    return _whole(now + time)


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
