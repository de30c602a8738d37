"""Customers and their sites are added. Their list is triage's, which knows who serves whom."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.rights import person, role_required
from models_registry.models import Customer
from models_registry.services import customers as customer_service
from models_registry.views.asked import KEEPERS


@require_POST
@role_required(*KEEPERS)
def create_customer(request: HttpRequest) -> HttpResponse:
    try:
        made = customer_service.make_customer(request.POST.get("name", ""), person(request))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("Added: %(name)s.") % {"name": made})
    return redirect("triage:customers")


@require_POST
@role_required(*KEEPERS)
def create_site(request: HttpRequest, pk: int) -> HttpResponse:
    customer = get_object_or_404(Customer, pk=pk)
    try:
        made = customer_service.make_site(customer, request.POST.get("name", ""), person(request))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("Added: %(name)s.") % {"name": made})
    return redirect("triage:customers")
