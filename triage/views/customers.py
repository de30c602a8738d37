"""A customer as support sees him, who serves whom, and how long complaints take."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import paging
from accounts.models import User
from accounts.rights import may_open, person, role_required
from accounts.roles import EVERYBODY, Role
from accounts.services import audit
from models_registry.models import Customer, Publication
from models_registry.services import appliances, publications
from triage.forms import PromiseForm
from triage.models import Promise, Serving
from triage.services import deadlines, lists, served
from triage.services.lists import Wanted

CUSTOMER_READERS = (Role.SUPPORT, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)  # who need a list of customers


@require_safe
@role_required(*CUSTOMER_READERS)
def customers(request: HttpRequest) -> HttpResponse:
    """The customers a reader works for: what waits of each, and his sites."""
    reader = person(request)
    mine = served.customers_of(reader)
    waiting = lists.waiting_of(mine)
    context = {
        "customers": [{"customer": one, "waiting": waiting.get(one.pk, 0)} for one in mine.prefetch_related("sites")],
        "may_add": may_open(reader, reverse("models_registry:create-customer")),
    }
    return render(request, "triage/customers.html", context)


@require_safe
@role_required(*EVERYBODY)
def customer(request: HttpRequest, pk: int) -> HttpResponse:
    """His complaints, what he was sent, what his contract promises."""
    reader = person(request)
    found = get_object_or_404(served.customers_of(reader), pk=pk)
    audit.record(reader, "customer.viewed", found.name)
    asked = Wanted(customer=found.pk)
    answered, before = lists.answered_page(reader, request.GET.get("before", ""), asked)
    context = {
        "customer": found,
        "waiting": lists.unanswered(reader, asked),
        "answered": answered,
        "before": before,
        "times": lists.times(reader, found),
        "standings": publications.standings(found),
        "running": appliances.running(found),
        "publications": Publication.objects.reaching(found).select_related("bundle")[:20],
        "promises": Promise.objects.filter(customer=found).select_related("by")[:20],
        "form": PromiseForm(),
        "may_promise": reader.has_role(Role.ADMINISTRATOR),
    }
    return render(request, "triage/customer.html", context)


@require_POST
@role_required(Role.ADMINISTRATOR)
def change_promise(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Customer, pk=pk)
    form = PromiseForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Hours: expected 0.5 to 2160, or nothing."))
    else:
        deadlines.promise(found, form.cleaned_data["severity"], form.cleaned_data["hours"], person(request))
        messages.success(request, _("Promised from now on."))
    return redirect("triage:customer", pk)


@require_safe
@role_required(*EVERYBODY)
def figures(request: HttpRequest) -> HttpResponse:
    """Time to each stage with percentiles, and how complaints ended per customer, version and reason."""
    times, tallies = lists.measured(person(request))
    context = {"times": times, "tallies": tallies, "most": lists.MEASURED}
    return render(request, "triage/figures.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMINISTRATOR)
def servings(request: HttpRequest) -> HttpResponse:
    """Who serves whom."""
    if request.method == "POST":
        user = get_object_or_404(User, pk=paging.key_of(request.POST.get("user")), role=Role.SUPPORT)
        chosen = request.POST.get("customer", "")
        served.serve(
            user, get_object_or_404(Customer, pk=paging.key_of(chosen)) if chosen else None, by=person(request)
        )
        return redirect("triage:servings")
    context = {
        "people": User.objects.filter(role=Role.SUPPORT, is_active=True).prefetch_related("servings__customer"),
        "customers": Customer.objects.all(),
    }
    return render(request, "triage/servings.html", context)


@require_POST
@role_required(Role.ADMINISTRATOR)
def end_serving(request: HttpRequest, pk: int) -> HttpResponse:
    served.end(get_object_or_404(Serving.objects.select_related("user", "customer"), pk=pk), by=person(request))
    return redirect("triage:servings")
