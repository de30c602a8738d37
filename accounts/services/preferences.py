"""What a person chose for their own pages: language, theme, time zone, keys."""

from __future__ import annotations

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from accounts.models import Theme, User

CHOICES = ("language", "theme", "time_zone", "single_keys", "positive_key", "negative_key")
UTC = "UTC"


def choose(user: User, **choices: Any) -> None:
    """Keep some of CHOICES."""
    for name, value in choices.items():
        setattr(user, name, value)
    user.save(update_fields=list(choices))


def choose_theme(user: User, name: str) -> bool:
    """Keep a theme; False when there is none of that name."""
    if name not in Theme.values:
        return False
    choose(user, theme=name)
    return True


@cache
def time_zones() -> tuple[str, ...]:
    """Return the names people look for, UTC first: places, without aliases of one word."""
    named = (name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return UTC, *sorted(named)


def is_time_zone(name: str) -> bool:
    """Say whether a name that anybody may have sent is one of a time zone."""
    return name in available_zones()


@cache
def available_zones() -> frozenset[str]:
    return frozenset(available_timezones())
