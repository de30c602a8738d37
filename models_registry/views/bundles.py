"""Bundles as delivered."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.rights import role_required
from accounts.roles import Role
from models_registry.models import Bundle
from models_registry.views.asked import READERS


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
