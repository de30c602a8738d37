"""Pages of the store. They only show; what changes a version is a command until approvals exist."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.rights import role_required
from accounts.roles import Role
from models_registry import charts
from models_registry.models import Bundle, Detector, GateReport, Version
from models_registry.services import boards

WINDOWS = (7, 30, 0)  # days; 0 is all that is stored
READERS = (Role.EXPERT, Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)


@require_safe
@role_required(*READERS)
def detectors(request: HttpRequest) -> HttpResponse:
    found = Detector.objects.prefetch_related("versions__training_set", "versions__detector")
    return render(request, "models_registry/detectors.html", {"detectors": found})


@require_safe
@role_required(*READERS)
def detector(request: HttpRequest, name: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=name)
    context = {
        "detector": found,
        "mapping": (mapping := found.mappings.order_by("-number").first()),
        "mapping_facts": _facts(mapping.mapping) if mapping else [],
        "versions": found.versions.select_related("training_set", "detector").order_by("-number"),
        "snapshots": found.snapshots.order_by("-number")[:10],
    }
    return render(request, "models_registry/detector.html", context)


@require_safe
@role_required(*READERS)
def version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = _version(name, number)
    context = {
        "version": found,
        "report": found.report,
        "gate_reports": found.gate_reports.select_related("snapshot")[:20],
        "stage_changes": found.stage_changes.select_related("by"),
        "bundle_entries": found.bundle_entries.select_related("bundle").order_by("-bundle_id")[:20],
    }
    return render(request, "models_registry/version.html", context)


@require_safe
@role_required(*READERS)
def board(request: HttpRequest, name: str, number: int) -> HttpResponse:
    days, since = _window(request)
    context = {
        "version": (found := _version(name, number)),
        "board": boards.board(found, since),
        "days": days,
        "windows": WINDOWS,
    }
    return render(request, "models_registry/_board.html", context)


@require_safe
@role_required(*READERS)
def scores(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = _version(name, number)
    context = {
        "version": found,
        "columns": charts.columns(boards.histogram(found, _window(request)[1])),
        "threshold_x": round(found.threshold * charts.WIDTH, 2),
    }
    return render(request, "models_registry/_scores.html", context)


@require_safe
@role_required(*READERS)
def gate(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(GateReport.objects.select_related("version__detector", "snapshot"), pk=pk)
    return render(request, "models_registry/gate.html", {"gate": found, "report": found.report})


@require_safe
@role_required(*READERS, Role.SUPPORT)
def bundles(request: HttpRequest) -> HttpResponse:
    found = Bundle.objects.prefetch_related("entries__version__detector")[:100]
    return render(request, "models_registry/bundles.html", {"bundles": found})


@require_safe
@role_required(*READERS, Role.SUPPORT)
def bundle(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Bundle, pk=pk)
    entries = found.entries.select_related("version__detector", "gate_report")
    metadata = json.dumps(found.metadata, indent=2, ensure_ascii=False)
    return render(request, "models_registry/bundle.html", {"bundle": found, "entries": entries, "metadata": metadata})


def _facts(mapping: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a rule mapping names, as lines of text."""
    return [
        (name.replace("_", " "), " · ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in mapping.items()
        if value not in (None, [], "")
    ]


def _version(name: str, number: int) -> Version:
    return get_object_or_404(
        Version.objects.select_related("detector", "training_set"), detector__name=name, number=number
    )


def _window(request: HttpRequest) -> tuple[int, datetime | None]:
    asked = request.GET.get("days", "")
    days = int(asked) if asked.isdecimal() and int(asked) in WINDOWS else 0
    return days, timezone.now() - timedelta(days=days) if days else None
