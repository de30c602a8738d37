"""`{% if user|may_open:url %}`: pages show no link that would end in "not for your role"."""

from __future__ import annotations

from django import template

from accounts import rights
from accounts.models import User

register = template.Library()


@register.filter
def may_open(user: User, url: str) -> bool:
    return rights.may_open(user, url)
