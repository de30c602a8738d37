"""Holds: what rooms above know against a version. They place and lift them; a bundle that is held does not spread."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone

from models_registry.models import Bundle, Hold, Version


def place(version: Version, threshold: float, source: str, reason: str) -> Hold:
    """Hold a version at this threshold and below; a second call of the same source changes nothing."""
    defaults = {"threshold": threshold, "reason": reason[:255]}
    return Hold.objects.get_or_create(version=version, source=source, lifted_at=None, defaults=defaults)[0]


def lift(source: str) -> int:
    """Lift what this source has placed; return how many holds that were."""
    return Hold.objects.open().filter(source=source).update(lifted_at=timezone.now())


def open_against(version: Version, threshold: float) -> QuerySet[Hold]:
    """Return the open holds that speak about a loud version at this threshold."""
    return Hold.objects.open().filter(version=version, threshold__gte=threshold)


def against(bundle: Bundle) -> list[Hold]:
    """Return the open holds that keep a bundle from spreading: of its loud entries, at their threshold or above."""
    loud = bundle.entries.filter(is_silent=False).select_related("version__detector")
    return [hold for entry in loud for hold in open_against(entry.version, entry.threshold)]
