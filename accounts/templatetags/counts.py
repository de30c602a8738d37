"""Numbers with what they count, in the number that the language asks for: 1 session, 2 sessions, 1 сессия, 5 сессий."""

from __future__ import annotations

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.template.defaultfilters import floatformat
from django.utils.translation import ngettext_lazy

register = template.Library()
_WORDS = {
    "byte": ngettext_lazy("%(n)s byte", "%(n)s bytes", "count"),
    "host": ngettext_lazy("%(n)s host", "%(n)s hosts", "count"),
    "look": ngettext_lazy("%(n)s look", "%(n)s looks", "count"),
    "missed detection": ngettext_lazy("%(n)s missed detection", "%(n)s missed detections", "count"),
    "row": ngettext_lazy("%(n)s row", "%(n)s rows", "count"),
    "rule hit": ngettext_lazy("%(n)s rule hit", "%(n)s rule hits", "count"),
    "segment": ngettext_lazy("%(n)s segment", "%(n)s segments", "count"),
    "segment scored by both": ngettext_lazy("%(n)s segment scored by both", "%(n)s segments scored by both", "count"),
    "session": ngettext_lazy("%(n)s session", "%(n)s sessions", "count"),
    "source host": ngettext_lazy("%(n)s source host", "%(n)s source hosts", "count"),
}


@register.filter
def counted(number: object, noun: str) -> str:
    """Return a number and its noun: `{{ board.sessions|counted:"session" }}`; a dash where nothing was counted."""
    if not isinstance(number, int | float):
        return "–"
    whole = int(number) == number
    told = intcomma(int(number)) if whole else floatformat(number, -1)
    return _WORDS[noun] % {"count": int(number) if whole else 2, "n": told}  # fractions are many: 1.5 sessions
