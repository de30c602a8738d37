"""Lists of indicators."""

from __future__ import annotations

from typing import Any

import structlog
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import READERS
from models_registry.forms import IndicatorsForm
from models_registry.models import IndicatorList
from models_registry.services import indicators as indicator_service
from models_registry.views.asked import STAGERS

log = structlog.get_logger(__name__)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*READERS)
def indicator_lists(request: HttpRequest) -> HttpResponse:
    """Lists in force, and a form that imports one."""
    may_import = person(request).has_role(*STAGERS)
    if request.method == "POST" and not may_import:
        raise PermissionDenied
    form = IndicatorsForm(request.POST, request.FILES) if request.method == "POST" else IndicatorsForm()
    if form.is_bound and form.is_valid():
        told = form.cleaned_data
        try:
            version = indicator_service.import_list(
                told["name"], told["kind"], told["file"], is_hint=told["is_hint"], by=person(request)
            )
        except indicator_service.ImportRefused as refusal:
            form.add_error("file", str(refusal))
        else:
            messages.success(request, _("%(version)s is in force.") % {"version": version})
            return redirect("models_registry:indicator-list", version.indicator_list.name)
    context = {
        "form": form if may_import else None,
        "versions": [*indicator_service.in_force(hints=False), *indicator_service.in_force(hints=True)],
        "withdrawn": IndicatorList.objects.exclude(withdrawn_at=None),
    }
    return render(request, "models_registry/indicators.html", context, status=400 if form.errors else 200)


@require_safe
@role_required(*READERS)
def indicator_list(request: HttpRequest, name: str) -> HttpResponse:
    """One list: what was imported, and the newest sessions it matches."""
    found = get_object_or_404(IndicatorList, name=name)
    context: dict[str, Any] = {
        "list": found,
        "versions": found.versions.select_related("imported_by").order_by("-number")[:20],
        "may_withdraw": found.withdrawn_at is None and person(request).has_role(*STAGERS),
    }
    if not found.is_hint and found.withdrawn_at is None:
        try:
            context |= {"hits": indicator_service.newest_hits(found)}
        except OSError as error:  # the rest of the page is of use without them
            log.warning("indicators.unreadable", list=found.name, error=str(error))  # where files lie is for the log
            context |= {"error": _("a file is missing or cannot be read")}
        context |= {"matched": indicator_service.sessions_matched(found)}
    return render(request, "models_registry/indicator_list.html", context)


@require_POST
@role_required(*STAGERS)
def withdraw_indicators(request: HttpRequest, name: str) -> HttpResponse:
    found = get_object_or_404(IndicatorList, name=name)
    if indicator_service.withdraw(found, person(request)):
        messages.success(request, _("%(name)s is out of force.") % {"name": found.name})
    return redirect("models_registry:indicators")
