"""Hand in a model that was trained elsewhere."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.rights import person, role_required
from models_registry.forms import UploadForm
from models_registry.models import Detector
from models_registry.services import foreign
from models_registry.views.asked import STAGERS


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*STAGERS)
def upload_version(request: HttpRequest, name: str) -> HttpResponse:
    detector = get_object_or_404(Detector, name=name)
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if form.is_bound and form.is_valid():
        try:
            version, is_new = foreign.receive(detector, form.offer(person(request)), person(request))
        except foreign.ForeignRefused as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            told = _("%(version)s is a candidate.") if is_new else _("%(version)s has this model already.")
            messages.success(request, told % {"version": version})
            return redirect("models_registry:version", name, version.number)
    context = {"form": form, "detector": detector}
    return render(request, "models_registry/upload_version.html", context, status=400 if form.errors else 200)
