"""Pages about those who answer: experts' figures, and answers that differ."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import EXPERTS, READERS, Role
from labeling.forms import QueueForm
from labeling.models import Contradiction, ItemState, Queue
from labeling.services import conflicts as conflict_service
from labeling.services import contradictions as contradiction_service
from labeling.services import experts as expert_service
from labeling.services import queue_rules
from labeling.services.details import LabelRefused

FIGURES = (*EXPERTS, Role.ADMINISTRATOR, Role.AUDITOR)


@require_safe
@role_required(Role.SENIOR, Role.ADMINISTRATOR, Role.AUDITOR)
def conflicts(request: HttpRequest) -> HttpResponse:
    returned = request.GET.get("state") == ItemState.RETURNED
    state = ItemState.RETURNED if returned else ItemState.CONFLICT
    page = conflict_service.page(person(request), state, request.GET.get("after", ""))
    return render(request, "labeling/conflicts.html", {"page": page, "state": state.value})


@require_safe
@role_required(*FIGURES)
def experts(request: HttpRequest) -> HttpResponse:
    return render(request, "labeling/experts.html", {"page": expert_service.page(person(request))})


@require_safe
@role_required(*FIGURES)
def export_experts(request: HttpRequest) -> HttpResponseBase:
    answer = StreamingHttpResponse(expert_service.export(person(request)), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="experts.csv"'
    return answer


@require_safe
@role_required(*READERS)
def contradictions(request: HttpRequest) -> HttpResponse:
    context = {"shown": contradiction_service.newest(), "may_ask": person(request).has_role(*EXPERTS)}
    return render(request, "labeling/contradictions.html", context)


@require_POST
@role_required(*EXPERTS)
def ask_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Put the case of a contradiction before experts once more."""
    found = get_object_or_404(Contradiction.objects.select_related("item__queue", "detector"), pk=pk)
    try:
        contradiction_service.ask_again(found, person(request))
    except LabelRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("It waits in its queue again, to be answered anew."))
    return redirect("labeling:contradictions")


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.SENIOR)
def change_queue(request: HttpRequest, slug: str) -> HttpResponse:
    """Set how many equal answers settle an item of a queue."""
    queue = get_object_or_404(Queue.objects.select_related("detector"), slug=slug)
    form = QueueForm(request.POST or None, queue=queue)
    if request.method == "POST" and form.is_valid():
        queue_rules.change(queue, person(request), **form.rules())
        messages.success(request, _("Changed. Open items follow it already."))
        return redirect("labeling:queue", queue.slug)
    context = {"queue": queue, "form": form, "history": queue_rules.history(queue)}
    return render(request, "labeling/change_queue.html", context, status=200 if not form.errors else 422)
