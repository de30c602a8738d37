"""`{% clock reading %}`: what a clock shows. Lists hold a hundred of them, so it is one call and no template."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts.templatetags.zone import moment
from detection.clock import Clock, Reading

register = template.Library()
_LOOK = {Clock.BREACHED: " badge--fp", Clock.MET: " badge--unique"}


@register.simple_tag
def clock(reading: Reading) -> SafeString:
    """Return a badge with the time that is left; the deadline itself stands in its title."""
    look = _LOOK.get(reading.state, " badge--warn" if reading.is_close else "")
    return format_html('<span class="badge{}" title="{}">{}</span>', look, moment(reading.due_at), _told(reading))


def _told(reading: Reading) -> str:
    hours, minutes = reading.hours_and_minutes
    left = _("%(hours)s h %(minutes)s m") % {"hours": hours, "minutes": minutes}
    if reading.state is Clock.NONE:
        return _("no deadline")
    if reading.state is Clock.RUNNING:
        return _("due in %(left)s") % {"left": left}
    if reading.state is Clock.PAUSED:
        return _("paused, %(left)s left") % {"left": left}
    if reading.state is Clock.MET:
        return _("met, %(left)s before") % {"left": left}
    return _("breached by %(over)s") % {"over": left}
