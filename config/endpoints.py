"""Which addresses of other machines are safe to speak to: by TLS, or on this machine."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def refusal(url: str) -> str:
    """Return why an address may not be used, for a person; empty when it may."""
    try:
        parts = urlsplit(url)
        name, _port = parts.hostname or "", parts.port
    except ValueError as error:
        return str(error)
    if not name or parts.query or parts.fragment:
        return "write https://HOST/PATH"
    if parts.username is not None or parts.password is not None:
        return "a key does not belong into the address"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_here(name)):
        return ""
    return "anybody on the way could read it: use https, or http on this machine"


def _is_here(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
