"""How long things take, for people."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext as _

register = template.Library()


@register.filter
def duration(seconds: float) -> str:
    """Return "40 s", "3 min" or "2 h 5 min", rounded up: nobody is promised too little."""
    whole = int(-(-seconds // 1))
    if whole < 100:
        return _("%(n)s s") % {"n": whole}
    minutes = -(-whole // 60)
    if minutes < 100:
        return _("%(n)s min") % {"n": minutes}
    return _("%(hours)s h %(minutes)s min") % {"hours": minutes // 60, "minutes": minutes % 60}
