"""Template filters for shares."""

from django import template

register = template.Library()


@register.filter
def percent(share: float) -> str:
    """Write a share from 0 to 1 in percent, with two places."""
    return f"{100 * share:.2f} %"
