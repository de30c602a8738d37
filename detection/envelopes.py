"""Messages of appliances: plain JSON, signed by the appliance's key (ed25519), with a counter that only grows.

The same envelope goes by network and by stick. Needs `cryptography` and nothing else of the product."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = 1
LAST = 2**63 - 1  # counter that a message may have
LARGEST = 4 * 2**20  # bytes of an envelope
_FIELDS = {"format": int, "kind": str, "appliance": str, "counter": int, "at": str, "body": dict, "signature": str}


class EnvelopeRefused(ValueError):  # noqa: N818
    """Not an envelope, or not signed by whom it names; the message says which."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message whose signature was checked."""

    kind: str  # "report", "telemetry", "kit"
    appliance: str  # opaque name
    counter: int
    at: str  # ISO 8601, UTC, by the appliance's clock
    body: dict[str, Any]


def canonical(value: Any) -> bytes:
    """Return JSON in its one form: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def seal(kind: str, appliance: str, counter: int, at: str, body: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """Return a signed message."""
    said = {"format": FORMAT, "kind": kind, "appliance": appliance, "counter": counter, "at": at, "body": dict(body)}
    return canonical(said | {"signature": key.sign(canonical(said)).hex()})


def unseal(data: bytes, public_key: Callable[[str], str | None]) -> Envelope:
    """Return what an appliance says; `public_key` gives its key (hex) by name, None for one that is unknown."""
    said = _read(data)
    known = public_key(said["appliance"])
    if known is None:
        raise EnvelopeRefused(f"no appliance {said['appliance'][:40]!r} is enrolled here")
    signature = said.pop("signature")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(known)).verify(bytes.fromhex(signature), canonical(said))
    except (InvalidSignature, ValueError) as error:
        raise EnvelopeRefused("the signature is not that of the appliance it names") from error
    return Envelope(said["kind"], said["appliance"], said["counter"], said["at"], said["body"])


def _read(data: bytes) -> dict[str, Any]:
    if len(data) > LARGEST:
        raise EnvelopeRefused(f"the message has {len(data):,} bytes, more than {LARGEST:,}")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EnvelopeRefused("the message is no JSON") from error
    if not isinstance(said, dict) or set(said) != set(_FIELDS):
        raise EnvelopeRefused(f"the message has the fields {', '.join(_FIELDS)} and no others")
    for name, kind in _FIELDS.items():
        if type(said[name]) is not kind:
            raise EnvelopeRefused(f"{name} is no {kind.__name__}")
    if not 0 < said["counter"] <= LAST:
        raise EnvelopeRefused(f"counter is from 1 to {LAST}")
    if said["format"] != FORMAT:
        raise EnvelopeRefused(f"format {said['format']} is not known here, only {FORMAT}")
    return said
