"""Times with the zone they are in: every clock on a page says it, by `{% zone %}` beside it or by `{{ at|moment }}`."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

register = template.Library()


@register.simple_tag
def zone() -> str:
    """Return "UTC", "MSK", "UTC+05"."""
    return _name_of(timezone.localtime())


@register.filter
def moment(at: datetime | None) -> str:
    """Return "2026-11-22 14:05 MSK"; of nothing, nothing."""
    if not at:
        return ""
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M} {_name_of(local)}"  # as the zone was called then: winter is not summer


def _name_of(local: datetime) -> str:
    name = local.tzname() or ""
    return f"UTC{name}" if name.startswith(("+", "-")) else name
