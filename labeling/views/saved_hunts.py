"""Saved hunts: a name for a filter with its time, version and group."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.rights import person, role_required
from detection.filters import FilterError
from labeling.models import SavedHunt
from labeling.services import saved_hunts as services
from labeling.services.hunt_sends import SENDERS
from labeling.views.hunts import SPANS
from labeling.views.queues import READERS


@require_safe
@role_required(*READERS)
def saved_hunt(request: HttpRequest, pk: int) -> HttpResponse:
    """The permanent address: it leads to the hunt as it was saved."""
    found = get_object_or_404(SavedHunt, pk=pk)
    query = "&".join(part for part in (found.query, urlencode({"saved": found.pk})) if part)
    return redirect(f"{reverse('labeling:hunt')}?{query}")


@require_POST
@role_required(*SENDERS)
def save_hunt(request: HttpRequest) -> HttpResponse:
    asked = {name: request.POST.get(name, "") for name in ("days", "under_test", "group")}
    if asked["days"] not in SPANS:
        asked["days"] = ""
    text = request.POST.get("q", "")
    shared = request.POST.get("is_shared") == "true"
    try:
        saved = services.save(person(request), request.POST.get("name", ""), text, is_shared=shared, **asked)
    except (services.SavingRefused, FilterError) as refusal:
        told = refusal.told(gettext) if isinstance(refusal, FilterError) else str(refusal)
        messages.error(request, told)
        return redirect(f"{reverse('labeling:hunt')}?{urlencode({'q': text} | asked)}")
    messages.success(request, _("Saved. The address of this page is for good, also for colleagues."))
    return redirect("labeling:saved-hunt", saved.pk)


@require_POST
@role_required(*SENDERS)
def forget_hunt(request: HttpRequest, pk: int) -> HttpResponse:
    """Only the owner's are there to be forgotten."""
    found = get_object_or_404(SavedHunt, pk=pk, owner=person(request))
    services.forget(found)
    messages.success(request, _("Forgotten: %(name)s.") % {"name": found.name})
    return redirect("labeling:hunt")
