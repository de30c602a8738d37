"""Texts that others wrote, before they are kept."""

from __future__ import annotations


def storable(text: str, limit: int | None = None) -> str:
    """Return text that any database takes, cut to `limit`: NUL becomes ␀, lone surrogates a question mark."""
    return text.replace("\0", "\u2400").encode("utf-8", "replace").decode()[:limit]
