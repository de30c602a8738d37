"""Draws pages in the language and the time zone of who looks at them."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.contrib.auth.middleware import get_user
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from accounts.services.preferences import is_time_zone

ZONE_COOKIE = "time_zone"  # written by static/etalon/zone.js: the zone of the browser


class Preferences:
    """After the session and the locale: what a person chose goes before what the browser asks for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = get_user(request)  # asked for by every page: what stands between would be asked dozens of times
        language = getattr(request.user, "language", "")
        if language:
            translation.activate(language)
            request.LANGUAGE_CODE = translation.get_language()  # as LocaleMiddleware does
        zone = getattr(request.user, "time_zone", "") or request.COOKIES.get(ZONE_COOKIE, "")
        with timezone.override(ZoneInfo(zone) if is_time_zone(zone) else None):
            return self.get_response(request)
