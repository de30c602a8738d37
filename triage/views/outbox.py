"""The outbox: who is told of what, every delivery and every try; drafts made of confirmed unique detects."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import Role
from labeling.models import Item
from triage.forms import SubscriptionForm
from triage.models import Delivery, Subscription
from triage.services import drafts, outbox

READERS = (Role.ENGINEER, Role.SENIOR, Role.ADMINISTRATOR, Role.AUDITOR)
DRAFTERS = (Role.EXPERT, Role.SENIOR, Role.ENGINEER)
PAGE = 100


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*READERS)
def outbox_page(request: HttpRequest) -> HttpResponse:
    """Subscribers, and the newest deliveries with what the other side said."""
    reader = person(request)
    keeper = reader.has_role(Role.ADMINISTRATOR)
    form = SubscriptionForm(request.POST if request.method == "POST" and keeper else None)
    secret = ""
    if request.method == "POST" and keeper and form.is_valid():
        try:
            made = outbox.subscribe(by=reader, **form.cleaned_data)
        except outbox.SubscriptionRefused as refusal:
            form.add_error("target", str(refusal))
        else:
            secret, form = made.secret, SubscriptionForm()
    elif request.method == "POST" and not keeper:
        return HttpResponse(status=409)
    deliveries = Delivery.objects.select_related("announcement", "subscription").prefetch_related("tries")
    context = {
        "subscriptions": Subscription.objects.filter(active=True).select_related("customer"),
        "deliveries": deliveries[:PAGE],
        "form": form,
        "keeper": keeper,
        "secret": secret,
    }
    return render(request, "triage/outbox.html", context, status=400 if form.errors else 200)


@require_POST
@role_required(Role.ADMINISTRATOR)
def unsubscribe(request: HttpRequest, pk: int) -> HttpResponse:
    outbox.unsubscribe(get_object_or_404(Subscription, pk=pk), person(request))
    return redirect("triage:outbox")


@require_POST
@role_required(Role.ADMINISTRATOR)
def test_subscription(request: HttpRequest, pk: int) -> HttpResponse:
    """Send one test announcement at once, and say what came back."""
    tried = outbox.test(get_object_or_404(Subscription, pk=pk, active=True), person(request))
    (messages.success if tried.delivered else messages.error)(request, tried.answer)
    return redirect("triage:outbox")


@require_POST
@role_required(Role.ADMINISTRATOR)
def send_again(request: HttpRequest, pk: int) -> HttpResponse:
    outbox.send_again(get_object_or_404(Delivery, pk=pk), person(request))
    messages.success(request, _("It is sent again."))
    return redirect("triage:outbox")


@require_safe
@role_required(*DRAFTERS)
def draft_rule(request: HttpRequest, pk: int) -> HttpResponse:
    """A confirmed unique detect as a draft of a Suricata rule."""
    rule = drafts.rule(_unique(pk))
    response = HttpResponse(rule.text, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="item-{pk}.rules"'
    response["X-Checked-By"] = rule.checked
    return response


@require_safe
@role_required(*DRAFTERS)
def draft_event(request: HttpRequest, pk: int) -> HttpResponse:
    """A confirmed unique detect as a MISP event."""
    response = JsonResponse(drafts.misp_event(_unique(pk)), json_dumps_params={"indent": 1})
    response["Content-Disposition"] = f'attachment; filename="item-{pk}.misp.json"'
    return response


def _unique(pk: int) -> Item:
    found = get_object_or_404(Item.objects.select_related("detector", "version", "record"), pk=pk)
    if not drafts.is_unique_detect(found):
        raise Http404
    return found
