"""Template filters for what came from the wire."""

from django import template
from django.utils.safestring import SafeString

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
def digits(number: object) -> str:
    """Write a number with its thousands apart, and "?" where the sensor did not say."""
    return f"{number:,}" if isinstance(number, int) else "?"
