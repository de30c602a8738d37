"""How long something takes, in words."""

from __future__ import annotations

from datetime import timedelta

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _

register = template.Library()


@register.filter
def lasting(value: timedelta | None) -> str:
    """Return a duration as people say it: "0.8 s", "36 s", "6 min", "1 h 10 min", "12 h"."""
    if value is None:
        return "–"
    seconds = value.total_seconds()
    if seconds < 10:
        return _("%(n)s s") % {"n": number_format(seconds, 1)}
    if seconds < 99.5:
        return _("%(n)s s") % {"n": round(seconds)}
    minutes = round(seconds / 60)
    if minutes < 60:
        return _("%(n)s min") % {"n": minutes}
    hours, minutes = divmod(minutes, 60)
    if minutes and hours < 10:
        return _("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": minutes}
    return _("%(n)s h") % {"n": round(seconds / 3600)}
