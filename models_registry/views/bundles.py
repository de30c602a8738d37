"""Bundles as delivered."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.rights import person, role_required
from accounts.roles import READERS, Role
from models_registry.models import Bundle
from models_registry.views.asked import STAGERS
from models_registry.views.delivery import delivery_of


@require_safe
@role_required(*READERS, Role.SUPPORT)
def bundles(request: HttpRequest) -> HttpResponse:
    found = Bundle.objects.prefetch_related("entries__version__detector")[:100]
    may_build = person(request).has_role(Role.ENGINEER)
    return render(request, "models_registry/bundles.html", {"bundles": found, "may_build": may_build})


@require_safe
@role_required(*READERS, Role.SUPPORT)
def bundle(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Bundle, pk=pk)
    entries = found.entries.select_related("version__detector", "gate_report")
    metadata = json.dumps(found.metadata, indent=2, ensure_ascii=False)
    context = {
        "bundle": found,
        "entries": entries,
        "metadata": metadata,
        "may_release": person(request).has_role(*STAGERS),
    }
    return render(request, "models_registry/bundle.html", context | delivery_of(found, person(request)))
