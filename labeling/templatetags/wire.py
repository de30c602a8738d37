"""Template filters for what came from the wire."""

from django import template
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from labeling import wire

register = template.Library()


@register.filter
def visible(text: object) -> SafeString:
    """Escape a text from the wire and make its unseen characters visible."""
    return wire.visible("" if text is None else str(text))


@register.filter
def visible_record(text: object) -> SafeString:
    """The same for a formatted record, which keeps its line breaks and is shown whole."""
    return wire.visible(str(text), keep="\n", limit=500_000)


@register.filter
def octets(number: object) -> str:
    """Write a number of bytes, and "?" where the sensor did not say."""
    return _("%(n)s B") % {"n": digits(number)}


@register.filter
def fine_seconds(seconds: float) -> str:
    """Write a short time to the millisecond."""
    return _("%(n)s s") % {"n": number_format(seconds, 3)}


@register.filter
def digits(number: object) -> str:
    """Write a number with its thousands apart as the reader's language has them, "?" where the sensor did not say."""
    return number_format(number, force_grouping=True) if isinstance(number, int) else "?"
