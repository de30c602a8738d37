"""Gate reports."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import READERS, Role
from models_registry.models import GateReport
from models_registry.services import gates
from models_registry.views.asked import STAGERS

LISTED = 20  # bundles that rest on a report, the newest


@require_safe
@role_required(*READERS)
def gate(request: HttpRequest, pk: int) -> HttpResponse:
    found = _report(pk)
    context = {
        "gate": found,
        "report": found.report,
        "traffic": found.report.get("traffic"),
        "is_current": gates.is_current(found),
        "approvals": found.decisions.select_related("proposal__by", "by"),
        "entries": found.bundle_entries.select_related("bundle")
        .prefetch_related("bundle__receipts")
        .order_by("-id")[:LISTED],
        "may_send": person(request).has_role(Role.EXPERT, *STAGERS),
        "may_run": person(request).has_role(*STAGERS),
        "may_accept": person(request).has_role(Role.SENIOR),
    }
    return render(request, "models_registry/gate.html", context)


@require_POST
@role_required(Role.SENIOR)
def accept_loss(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the version lose a known attack that the report names."""
    found = _report(pk)
    try:
        accepted = gates.accept_loss(
            found, request.POST.get("key", ""), person(request), request.POST.get("reason", "")
        )
    except gates.LossRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(what)s. Run the gate again.") % {"what": accepted})
    return redirect("models_registry:gate", pk)


def _report(pk: int) -> GateReport:
    return get_object_or_404(
        GateReport.objects.select_related("version__detector", "version__training_set", "snapshot"), pk=pk
    )
