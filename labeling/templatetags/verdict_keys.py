"""`{{ detector|positive_key:user }}`: the key of a verdict, as its detector says or as the reader chose."""

from __future__ import annotations

from django import template

from accounts.models import User
from models_registry.models import Detector

register = template.Library()


@register.filter
def positive_key(detector: Detector, reader: User) -> str:
    return reader.positive_key or detector.positive_key


@register.filter
def negative_key(detector: Detector, reader: User) -> str:
    return reader.negative_key or detector.negative_key
