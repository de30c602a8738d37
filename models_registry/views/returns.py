"""What a customer's appliances are to run, and the way back from a bundle of his own to his channel."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import READERS
from models_registry.models import Customer, Release
from models_registry.services import feed, publications, releases, returns
from models_registry.views.asked import STAGERS


@require_safe
@role_required(*READERS)
def customer_bundles(request: HttpRequest, pk: int) -> HttpResponse:
    """What is in force for a customer, and what taking back his own bundle would change."""
    found = get_object_or_404(Customer, pk=pk)
    newest = feed.version(releases.TOP)
    asked = Release.objects.filter(customer=found, outcome=None).exclude(takes_back="").select_related("by")
    context = {
        "customer": found,
        "standings": publications.standings(found),
        "own": returns.of(found),
        "waiting": [one for one in asked if releases.is_open(one, newest)],
        "may_release": person(request).has_role(*STAGERS),
    }
    return render(request, "models_registry/customer_bundles.html", context)


@require_POST
@role_required(*STAGERS)
def return_customer(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for two signatures, so that a customer's own bundle is taken back."""
    found = get_object_or_404(Customer, pk=pk)
    try:
        made = releases.propose_return(
            found, request.POST.get("protocol", "")[:16], person(request), request.POST.get("reason", "")
        )
    except (releases.ReleaseRefused, feed.NoFeed) as refusal:
        messages.error(request, str(refusal))
        return redirect("models_registry:customer-bundles", pk)
    messages.success(request, _("Composed: two people sign it now."))
    return redirect("models_registry:release", made.pk)
