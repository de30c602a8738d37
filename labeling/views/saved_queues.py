"""Saved queues: a name for a queue with its filter and order."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import EXPERTS
from labeling.models import Queue, SavedQueue
from labeling.services import saved_queues as services
from labeling.views.queues import READERS


@require_safe
@role_required(*READERS)
def saved_queue(request: HttpRequest, pk: int) -> HttpResponse:
    """The permanent address: it leads to the queue as it was saved, and says whose it is."""
    found = get_object_or_404(SavedQueue.objects.select_related("queue"), pk=pk)
    query = "&".join(part for part in (found.query, urlencode({"saved": found.pk})) if part)
    return redirect(f"{reverse('labeling:queue', args=[found.queue.slug])}?{query}")


@require_POST
@role_required(*EXPERTS)
def save_queue(request: HttpRequest, slug: str) -> HttpResponse:
    queue = get_object_or_404(Queue, slug=slug)
    query = request.POST.get("query", "")
    try:
        saved = services.save(person(request), request.POST.get("name", ""), queue, query)
    except services.SavingRefused as refusal:
        messages.error(request, str(refusal))
        return redirect("labeling:queue", slug)
    messages.success(request, _("Saved. The address of this page is for good, also for colleagues."))
    return redirect("labeling:saved-queue", saved.pk)


@require_POST
@role_required(*EXPERTS)
def forget_queue(request: HttpRequest, pk: int) -> HttpResponse:
    """Only the owner's are there to be forgotten."""
    found = get_object_or_404(SavedQueue, pk=pk, owner=person(request))
    services.forget(found)
    messages.success(request, _("Forgotten: %(name)s.") % {"name": found.name})
    return redirect("labeling:queues")
