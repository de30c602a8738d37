"""Who opens pages of the store, and what their addresses name."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone

from accounts import paging
from accounts.roles import Role
from models_registry.models import Version

WINDOWS = (7, 30, 0)  # days; 0 is all that is stored
KEEPERS = (Role.ADMINISTRATOR, Role.ENGINEER)
STAGERS = (Role.ENGINEER, Role.SENIOR)


def version_of(name: str, number: int) -> Version:
    return get_object_or_404(
        Version.objects.select_related("detector", "training_set"), detector__name=name, number=number
    )


def window_of(request: HttpRequest) -> tuple[int, datetime | None]:
    asked = paging.key_of(request.GET.get("days"))
    days = asked if asked in WINDOWS else 0
    return days, timezone.now() - timedelta(days=days) if days else None
