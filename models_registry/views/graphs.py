"""Graphs of versions and bundles, in a viewer that lives in a frame without an origin."""

from __future__ import annotations

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp, csp_update
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from accounts.rights import role_required
from accounts.roles import READERS, Role
from models_registry.models import Bundle
from models_registry.services import netron
from models_registry.views.asked import version_of
from traffic import storage

# Netron writes style attributes; nothing but that is wider than elsewhere, and the sandbox is narrower
VIEWER_POLICY = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF],
    "connect-src": [SELF],
    "form-action": [NONE],
    "base-uri": [NONE],
    "frame-ancestors": [SELF],
    "sandbox": ["allow-scripts"],
}


@require_safe
@role_required(*READERS)
@csp_update({"frame-src": [SELF]})
def version_graph(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = version_of(name, number)
    back = reverse("models_registry:version", args=[name, number])
    return _graph(request, str(found), back, reverse("models_registry:version-file", args=[name, number]))


@require_safe
@role_required(*READERS, Role.SUPPORT)
@csp_update({"frame-src": [SELF]})
def bundle_graph(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Bundle, pk=pk)
    back = reverse("models_registry:bundle", args=[pk])
    return _graph(request, str(found), back, reverse("models_registry:bundle-file", args=[pk]))


@require_safe
@role_required(*READERS)
def version_file(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = version_of(name, number)
    return _onnx(found.onnx_path, f"{name}-{number}", found.onnx_digest)


@require_safe
@role_required(*READERS, Role.SUPPORT)
def bundle_file(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Bundle, pk=pk)
    return _onnx(found.path, f"bundle-{found}", found.digest)


@require_safe
@role_required(*READERS, Role.SUPPORT)
@xframe_options_sameorigin
@csp(VIEWER_POLICY)
def viewer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(netron.page())


@require_safe
def viewer_file(request: HttpRequest, name: str) -> HttpResponse:
    """A part of the viewer's published program. A frame without an origin shows no cookie, so anybody may have it."""
    found = netron.asset(name)
    if found is None:
        raise Http404
    response = HttpResponse(found, content_type=netron.KINDS[name.rpartition(".")[2]])
    response["Access-Control-Allow-Origin"] = "*"
    response["Cache-Control"] = "public, max-age=86400"
    return response


def _graph(request: HttpRequest, title: str, back: str, file: str) -> HttpResponse:
    context = {"title": title, "back": back, "file": file}
    return render(request, "models_registry/graph.html", context)


def _onnx(path: str, name: str, digest: str) -> HttpResponse:
    try:
        data = storage.get_bytes(path)
    except FileNotFoundError as gone:
        raise Http404(f"{path} is not in the store") from gone
    response = HttpResponse(data, content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{name}.onnx"'
    response["ETag"] = f'"{digest}"'
    return response
