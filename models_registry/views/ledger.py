"""Pages of the ledger: its entries, one of them, and what ran at a moment."""

from __future__ import annotations

import json
from datetime import datetime, time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.views.decorators.http import require_safe

from accounts import paging
from accounts.rights import role_required
from accounts.roles import READERS
from models_registry.models import Bundle, Detector, GateReport, LedgerEntry, LedgerKind, Version
from models_registry.services import in_force, ledger_watch
from models_registry.services import ledger as ledger_service

PAGE = 100  # entries


@require_safe
@role_required(*READERS)
def ledger(request: HttpRequest) -> HttpResponse:
    """Newest first, paged by key: the page costs the same however long the ledger is."""
    detectors = list(Detector.objects.all())
    detector = next((one for one in detectors if one.name == request.GET.get("detector")), None)
    kind = request.GET.get("kind", "")
    entries = in_force.entries_of(detector, kind)
    before = request.GET.get("before", "")
    page, older = paging.page(entries.defer("body"), before, PAGE, by="number")
    number, digest = ledger_service.head()
    context = {
        "entries": page,
        "older": older,
        "first": not before,
        "detector": detector,
        "kind": kind,
        "detectors": detectors,
        "kinds": [one for one in LedgerKind if one is not LedgerKind.BEGINNING],
        "number": number,
        "digest": digest,
        "check": (check := ledger_watch.newest()),
        "late": ledger_watch.is_late(check),
    }
    return render(request, "models_registry/ledger.html", context)


@require_safe
@role_required(*READERS)
def entry(request: HttpRequest, number: int) -> HttpResponse:
    """One entry: what it says of which rows, and whether it is chained."""
    found = get_object_or_404(LedgerEntry.objects.select_related("detector", "by"), number=number)
    body = _body(found)
    context = {
        "entry": found,
        "claims": [{**claim, "url": _page_of(claim["row"])} for claim in body.get("claims", ())],
        "notes": body.get("notes", {}),
        "is_whole": found.digest == ledger_service.chained(found.previous, found.body),
        "next": LedgerEntry.objects.filter(number__gt=number).order_by("number").only("number").first(),
    }
    return render(request, "models_registry/ledger_entry.html", context)


@require_safe
@role_required(*READERS)
def what_ran(request: HttpRequest) -> HttpResponse:
    """Which versions ran at a moment, and why."""
    asked = request.GET.get("at", "")
    at = _moment(asked) if asked else timezone.now()
    context: dict[str, Any] = {"asked": asked, "at": at}
    if at is not None:
        context |= {"then": in_force.what_ran(at), "value": timezone.localtime(at).strftime("%Y-%m-%dT%H:%M")}
    return render(request, "models_registry/what_ran.html", context, status=200 if at else 400)


def _body(found: LedgerEntry) -> dict[str, Any]:
    try:
        body = json.loads(found.body)
    except ValueError:  # somebody edited it: the page says so
        return {}
    return body if isinstance(body, dict) else {}


def _page_of(row: str) -> str:
    """Return the page that shows a row; empty when none does."""
    label, _colon, key = row.partition(":")
    if not key.isdecimal():
        return ""
    if label in (GateReport._meta.label_lower, Bundle._meta.label_lower):
        return reverse(f"models_registry:{'gate' if label.endswith('gatereport') else 'bundle'}", args=[int(key)])
    if label == Version._meta.label_lower:
        version = Version.objects.select_related("detector").filter(pk=int(key)).first()
        return reverse("models_registry:version", args=[version.detector.name, version.number]) if version else ""
    return ""


def _moment(asked: str) -> datetime | None:
    """Return the moment a reader means, in the reader's zone: a day without an hour means its end."""
    try:
        found = parse_datetime(asked) if "T" in asked or " " in asked else None
        day = None if found else parse_date(asked)
    except ValueError:
        return None
    if found is None and day is None:
        return None
    moment = found or datetime.combine(day, time.max)  # type: ignore[arg-type]  # one of them is there
    try:
        return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
    except (OverflowError, ValueError):
        return None
