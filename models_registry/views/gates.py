"""Gate reports."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.rights import role_required
from models_registry.models import GateReport
from models_registry.views.asked import READERS


@require_safe
@role_required(*READERS)
def gate(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(GateReport.objects.select_related("version__detector", "snapshot"), pk=pk)
    return render(request, "models_registry/gate.html", {"gate": found, "report": found.report})
