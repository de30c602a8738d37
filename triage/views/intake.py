"""Counts of sites without network, by a file; and what a site sent, in its own words."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import paging
from accounts.rights import person, role_required
from accounts.roles import EVERYBODY, Role
from models_registry.models import Site
from triage.forms import TelemetryFileForm
from triage.models import TelemetryWindow
from triage.services import served
from triage.services.telemetry import intake

PAGE = 48  # two days of hours


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.SUPPORT, Role.ENGINEER)
def import_telemetry(request: HttpRequest) -> HttpResponse:
    form = TelemetryFileForm(request.POST or None, request.FILES or None)
    done = None
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        if file.size > intake.LARGEST_FILE:
            form.add_error("file", _("The file is larger than 64 MiB."))
        else:
            done = intake.import_lines(file, person(request))
    status = 400 if form.errors else 200
    return render(request, "triage/import_telemetry.html", {"form": form, "done": done}, status=status)


@require_safe
@role_required(*EVERYBODY)
def site_telemetry(request: HttpRequest, pk: int) -> HttpResponse:
    """What a site sent: every message as it was signed."""
    customers = served.customers_of(person(request))
    site = get_object_or_404(Site.objects.select_related("customer"), pk=pk, customer__in=customers)
    windows = TelemetryWindow.objects.filter(appliance__site=site).select_related("appliance", "bundle")
    rows, older = paging.page(windows.order_by("-id"), request.GET.get("before"), PAGE)
    context = {
        "site": site,
        "windows": [(one, json.dumps(one.told, indent=1, ensure_ascii=False)) for one in rows],
        "before": older,
    }
    return render(request, "triage/site_telemetry.html", context)
