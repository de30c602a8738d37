"""Templates that are drawn once per look and language: what differs from item to item is filled into places.

Drawing all of a labelling page anew takes Django longer than all the rest of an answer. A template that is drawn here
is an ordinary one. It decides by its `looks` (flags and words of which there are few), and prints `places`."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from functools import lru_cache

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from accounts.templatetags.zone import zone
from labeling.models import Item
from labeling.wire import filled

STAND_IN = 8_111_222_333_444_555_666  # for the number of the item in addresses: no item has it
_PLACE = re.compile("\0([a-z_]+)\0")


def fill(template: str, places: Mapping[str, object], *, item: int = 0, **looks: Hashable) -> SafeString:
    """Return a template with its places filled, its addresses of `item`; what is not known to be safe is escaped."""
    pattern = _pattern(template, get_language(), tuple(places), tuple(looks.items()))
    return filled(pattern, {**places, "item_number": item})


@lru_cache(maxsize=1024)
def _pattern(
    template: str, _language: str | None, places: tuple[str, ...], looks: tuple[tuple[str, Hashable], ...]
) -> str:
    """Return the template as a format: drawn, hence escaped, with a name in braces for each place."""
    kept = {name: f"\0{name}\0" for name in places}
    drawn = render_to_string(template, {**kept, **dict(looks), "item_number": STAND_IN})
    text = drawn.replace("{", "{{").replace("}", "}}").replace(str(STAND_IN), "{item_number}")
    return _PLACE.sub(r"{\1}", text)


def lease(item: Item | None) -> dict[str, object]:
    """Return until when an item is held, as its templates print it."""
    if item is None or item.claimed_until is None:
        return {"until_iso": "", "until": ""}
    until = timezone.localtime(item.claimed_until)
    return {"until_iso": until.isoformat(), "until": f"{until:%H:%M} {zone()}"}
