"""`{% zone %}`: the name of the zone that the page's times are in. Every clock on a page says it."""

from __future__ import annotations

from django import template
from django.utils import timezone

register = template.Library()


@register.simple_tag
def zone() -> str:
    """Return "UTC", "MSK", "UTC+05"."""
    name = timezone.localtime().tzname() or ""
    return f"UTC{name}" if name.startswith(("+", "-")) else name
