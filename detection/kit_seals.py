"""Who made a kit: the signature of an appliance's enrolment key (ed25519) under its document. Needs `cryptography`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from detection import kits

SIGNATURE = "signature"


def sealed(told: Mapping[str, Any], appliance: str, key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return a kit's document with the signature of the appliance that made it."""
    return dict(told) | {SIGNATURE: {"appliance": appliance, "ed25519": key.sign(_signed(told)).hex()}}


def named(told: Mapping[str, Any]) -> str:
    """Return the appliance that a kit's document names as its signer; empty where it is unsigned."""
    signature = told.get(SIGNATURE)
    return str(signature.get("appliance", ""))[:64] if isinstance(signature, dict) else ""


def holds(told: Mapping[str, Any], public_key: str) -> bool:
    """Say whether a kit's document is as its signer wrote it; `public_key` in hex."""
    signature = told.get(SIGNATURE)
    try:
        given = bytes.fromhex(signature["ed25519"]) if isinstance(signature, dict) else b""
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(given, _signed(told))
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return False
    return True


def _signed(told: Mapping[str, Any]) -> bytes:
    return kits.to_bytes({name: value for name, value in told.items() if name != SIGNATURE})
