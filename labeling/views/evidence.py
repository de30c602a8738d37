"""The heavy parts of the labelling page: each loads by itself a moment later, so that the next item never waits.

Of a drawn session all of them are refused to those who may still answer it."""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.rights import role_required
from accounts.roles import READERS, Role
from detection.suggestions import ADDRESSES, FIELDS
from labeling import evidence
from labeling.models import Item
from labeling.services import blind, chat, claims, surroundings
from labeling.services import suggestions as suggestion_service
from labeling.services.neighbours import NoIndex
from labeling.services.records import from_json

log = structlog.get_logger(__name__)
UNREADABLE = (OSError, ValueError, LookupError)  # the page is of use without it, and says why it is missing


@require_safe
@role_required(*READERS)
def explanation(request: HttpRequest, pk: int) -> HttpResponse:
    found = _seen(request, pk)
    try:
        why = evidence.why(found)
        told: dict[str, Any] = {"why": why, "bars": evidence.bars_today(found, why.row)}
    except UNREADABLE as error:
        told = {"error": _told(found, error)}
    return render(request, "labeling/_explanation.html", {"item": found, "others": evidence.Others(found)} | told)


@require_safe
@role_required(*READERS)
def place(request: HttpRequest, pk: int) -> HttpResponse:
    found = _seen(request, pk)
    return render(request, "labeling/_place.html", {"item": found, "place": evidence.PlaceInQueue(found)})


@require_safe
@role_required(*READERS)
def neighbours(request: HttpRequest, pk: int) -> HttpResponse:
    found = _seen(request, pk)
    try:
        told: dict[str, Any] = {"looks_like": evidence.looks_like(found, from_json(found.record.row))}
    except NoIndex:
        told = {}
    except UNREADABLE as error:
        told = {"error": _told(found, error)}
    return render(request, "labeling/_neighbours.html", {"item": found} | told)


@require_safe
@role_required(*READERS)
def spread(request: HttpRequest, pk: int) -> HttpResponse:
    found = _seen(request, pk)
    return render(request, "labeling/_group.html", {"item": found, "group": evidence.Group(found)})


@require_safe
@role_required(*READERS)
def host(request: HttpRequest, pk: int) -> HttpResponse:
    found = _seen(request, pk)
    row = from_json(found.record.row)
    told: dict[str, Any] = {"others": surroundings.of_host(found, row["src_ip"] or "?")}
    try:
        told["history"] = surroundings.host_history(found, row)
    except UNREADABLE as error:
        told["error"] = _told(found, error)
    return render(request, "labeling/_host.html", {"item": found, "row": row} | told)


@require_safe
@role_required(Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)
def suggestions(request: HttpRequest) -> HttpResponse:
    """How far a language model agrees with experts, and what it is told."""
    context = {
        "endpoint": chat.endpoint(),
        "records": suggestion_service.records(),
        "errors": suggestion_service.errors(),
        "left_today": suggestion_service.left_today(),
        "per_day": settings.ETALON_SUGGESTIONS_PER_DAY,
        "fields": FIELDS.items(),
        "addresses": ADDRESSES if settings.ETALON_SUGGESTIONS_ADDRESSES else (),
    }
    return render(request, "labeling/suggestions.html", context)


def _told(item: Item, error: Exception) -> str:
    """Return what a person learns of an error: where files lie is for the log."""
    log.warning("evidence.unreadable", item=item.pk, error=str(error))
    return _("a file is missing or cannot be read") if isinstance(error, OSError) else str(error)


def _seen(request: HttpRequest, pk: int) -> Item:
    """Return an item of which this user may see more than the session."""
    found = get_object_or_404(claims.items().of_sessions().defer(None), pk=pk)
    if not isinstance(request.user, User) or blind.hides_evidence(found, request.user):
        raise PermissionDenied
    return found
