"""`{% answer_bar %}`: the keys under an item, which look the same for all items of a detector: drawn once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django import template
from django.template.context import Context
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from labeling.forms import EXPIRIES
from labeling.models import ReasonCode
from labeling.services import postponed
from labeling.templatetags.verdict_keys import negative_key, positive_key

register = template.Library()
STAND_IN = 8_111_222_333_444_555_666  # where the number of the item goes: no item has it


@dataclass(frozen=True, slots=True)
class Looks:
    """All that the bar depends on, besides the item's number."""

    language: str | None
    positive_class: str
    negative_class: str
    positive_key: str
    negative_key: str
    asks_reason: bool
    may_be_group: bool
    asked: str
    families: tuple[str, ...]
    of_entity: bool


@register.simple_tag(takes_context=True)
def answer_bar(context: Context) -> SafeString:
    item, user = context["item"], context["user"]
    looks = Looks(
        language=get_language(),
        positive_class=item.detector.positive_class,
        negative_class=item.detector.negative_class,
        positive_key=positive_key(item.detector, user),
        negative_key=negative_key(item.detector, user),
        asks_reason=context["asks_reason"],
        may_be_group=context["may_be_group"],
        of_entity=item.is_entity_day,
        asked=context["asked"],
        families=tuple(context["families"]),
    )
    return format_html(_pattern(looks), item.pk)


@lru_cache(maxsize=256)
def _pattern(looks: Looks) -> str:
    """Return the bar, escaped by its template, with {0} for the number of the item."""
    context: dict[str, Any] = {
        "looks": looks,
        "item_number": STAND_IN,
        "reasons": list(
            enumerate(ReasonCode.of_entity_days() if looks.of_entity else ReasonCode.of_sessions(), start=1)
        ),
        "default_reason": ReasonCode.OTHER.value,
        "expiries": EXPIRIES,
        "postpone": list(enumerate(postponed.CHOICES, start=1)),
    }
    drawn = render_to_string("labeling/_bar.html", context)
    return drawn.replace("{", "{{").replace("}", "}}").replace(str(STAND_IN), "{0}")
