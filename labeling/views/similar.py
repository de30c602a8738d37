"""Look-alikes and neighbours of one session in all stored traffic, as fragments of its page and of its item's."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.rights import person, role_required
from detection.sessions import Row
from labeling.evidence.looks_like import words_of
from labeling.models import Item
from labeling.services import blind, claims, sessions, similar
from labeling.services.records import from_json
from labeling.views.queues import READERS
from models_registry.models import Version
from models_registry.services.hunt_tables import HuntTooLong


@require_safe
@role_required(*READERS)
def session_alike(request: HttpRequest, rid: int) -> HttpResponse:
    return _alike(request, _session(rid).row)


@require_safe
@role_required(*READERS)
def session_near(request: HttpRequest, rid: int) -> HttpResponse:
    found = _session(rid)
    said = found.strongest
    return _near(request, found.row, said.of if said else None, said.raw if said else 0.0)


@require_safe
@role_required(*READERS)
def item_similar(request: HttpRequest, pk: int) -> HttpResponse:
    """What looks like an item in all stored traffic, whoever was asked about it."""
    return render(request, "labeling/item_similar.html", {"item": _item(request, pk)})


@require_safe
@role_required(*READERS)
def item_alike(request: HttpRequest, pk: int) -> HttpResponse:
    return _alike(request, from_json(_item(request, pk).record.row))


@require_safe
@role_required(*READERS)
def item_near(request: HttpRequest, pk: int) -> HttpResponse:
    item = _item(request, pk)
    said = [one for one in from_json(item.record.scores) if one["version"] == item.judged.number]
    return _near(request, from_json(item.record.row), item.judged if said else None, said[0]["raw"] if said else 0.0)


def _session(rid: int) -> sessions.Session:
    found = sessions.find(rid)
    if found is None:
        raise Http404(_("This session is not stored, or not any more."))
    return found


def _item(request: HttpRequest, pk: int) -> Item:
    """Return an item of which this person may see more than the session."""
    found = get_object_or_404(claims.items().of_sessions().defer(None), pk=pk)
    if blind.hides_evidence(found, person(request)):
        raise PermissionDenied
    return found


def _alike(request: HttpRequest, row: Row) -> HttpResponse:
    context: dict[str, Any] = {"look": similar.look_filter(row)}
    try:
        context["counts"] = similar.look_alikes(row)
    except HuntTooLong as error:
        context["problem"] = str(error)
    return render(request, "labeling/_alike_stored.html", context)


def _near(request: HttpRequest, row: Row, version: Version | None, raw: float) -> HttpResponse:
    if version is None:
        return render(request, "labeling/_near_stored.html", {})
    try:
        found = similar.neighbours(row, version, raw)
    except (HuntTooLong, OSError):
        return render(request, "labeling/_near_stored.html", {"problem": True})
    near = [(one, words_of(version, one.differences, one.distance)) for one in found.near]
    return render(request, "labeling/_near_stored.html", {"found": found, "near": near})
