"""Pages about those who answer: experts' figures, and answers that differ."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.rights import role_required
from accounts.roles import EXPERTS, Role
from labeling.models import ItemState
from labeling.services import conflicts as conflict_service
from labeling.services import experts as expert_service

FIGURES = (*EXPERTS, Role.ADMINISTRATOR, Role.AUDITOR)


@require_safe
@role_required(Role.SENIOR, Role.ADMINISTRATOR, Role.AUDITOR)
def conflicts(request: HttpRequest) -> HttpResponse:
    returned = request.GET.get("state") == ItemState.RETURNED
    state = ItemState.RETURNED if returned else ItemState.CONFLICT
    page = conflict_service.page(_user(request), state, request.GET.get("after", ""))
    return render(request, "labeling/conflicts.html", {"page": page, "state": state.value})


@require_safe
@role_required(*FIGURES)
def experts(request: HttpRequest) -> HttpResponse:
    return render(request, "labeling/experts.html", {"page": expert_service.page(_user(request))})


@require_safe
@role_required(*FIGURES)
def export_experts(request: HttpRequest) -> HttpResponseBase:
    answer = StreamingHttpResponse(expert_service.export(_user(request)), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="experts.csv"'
    return answer


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
