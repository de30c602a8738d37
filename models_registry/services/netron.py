"""The graph viewer Netron (MIT), out of its package: its page with our host instead of its own, and what that loads."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

KINDS = {"js": "text/javascript", "css": "text/css", "json": "application/json"}
_NAME = re.compile(r"[a-z0-9-]+\.(js|css|json)")
_HOST = Path(__file__).resolve().parent.parent / "netron" / "host.js"
_THEIRS = '<script type="text/javascript" src="index.js"></script>'
_ICONS = re.compile(r'<link rel="(?:shortcut icon|icon|[a-z-]*icon[a-z-]*)"[^>]*>\n?')


@lru_cache(maxsize=1)
def page() -> str:
    """Return Netron's page; its loader, which asks other hosts, is replaced by ours."""
    text = (files("netron") / "index.html").read_text("utf-8")
    if text.count(_THEIRS) != 1:
        raise RuntimeError("this Netron has another loader: models_registry/services/netron.py must learn it")
    return _ICONS.sub("", text).replace(_THEIRS, '<script type="module" src="host.js"></script>')


def asset(name: str) -> bytes | None:
    """Return a file that the page loads; None where there is none of that name."""
    if not _NAME.fullmatch(name):
        return None
    if name == "host.js":
        return _HOST.read_bytes()
    found = files("netron") / name
    return found.read_bytes() if found.is_file() else None
