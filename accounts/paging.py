"""Keys that a request names, and lists that are paged by them: a page costs the same however long its list is."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import QuerySet

Row = TypeVar("Row")  # a model, or a named row of values

LONGEST = 18  # digits that a key of 64 bits has for sure


def key_of(text: str | None) -> int:
    """Return the key that a text names; 0, which no row has, where it names none."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= LONGEST else 0


def page(found: QuerySet[Any, Row], before: str | None, size: int, by: str = "pk") -> tuple[list[Row], str]:
    """Return so many rows, newest first, that came before a key, and the key that starts the next page.

    The rows stand in falling order of the key. Nonsense asks for the first page; behind the last there is no key."""
    key = key_of(before)
    rows = list((found.filter(**{f"{by}__lt": key}) if key else found)[: size + 1])
    return rows[:size], str(getattr(rows[size - 1], by)) if len(rows) > size else ""
