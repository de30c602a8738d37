"""The reference set in files: snapshots, export, import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, cast

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import paging
from accounts.rights import person, role_required
from accounts.roles import READERS, Role
from labeling.models import ReferenceImport
from labeling.services import entries, imports, reference_changes, reference_files, snapshot_pages
from labeling.services.reference_changes import ChangeRefused
from models_registry.models import Detector, Snapshot
from models_registry.services import snapshots as snapshot_files

EXPORTS = {"jsonl": reference_files.lines, "parquet": reference_files.parquet}
LARGEST_IMPORT = 64 << 20  # bytes, through a page


# snapshots


@require_safe
@role_required(*READERS)
def snapshots(request: HttpRequest, detector: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=detector)
    context = {"detector": found, "page": snapshot_pages.page(found, request.GET.get("before", ""))}
    return render(request, "labeling/snapshots.html", context)


@require_safe
@role_required(*READERS)
def compare_snapshots(request: HttpRequest, detector: str) -> HttpResponse:
    """What changed between two snapshots, named by their numbers in `old` and `new`."""
    found = get_object_or_404(Detector, name=detector)
    old, new = (_snapshot(found, request.GET.get(name, "")) for name in ("old", "new"))
    kind = request.GET.get("kind", "")
    context = {
        "detector": found,
        "old": old,
        "new": new,
        "kind": kind,
        "page": snapshot_pages.between(old, new, kind, request.GET.get("after", "")),
    }
    return render(request, "labeling/compare_snapshots.html", context)


@require_safe
@role_required(*READERS)
def download_snapshot(request: HttpRequest, detector: str, number: int) -> StreamingHttpResponse:
    """The frozen file, byte for byte."""
    found = get_object_or_404(Snapshot.objects.select_related("detector"), detector__name=detector, number=number)
    return _download(snapshot_files.chunks(found), f"{detector}-reference-{number}.jsonl.gz")


# export and import


@require_safe
@role_required(*READERS)
def export_reference(request: HttpRequest, detector: str, suffix: str) -> StreamingHttpResponse:
    """The rows that a filter shows, streamed. No CSV: a spreadsheet would run what attackers wrote."""
    found = get_object_or_404(Detector, name=detector)
    write = EXPORTS.get(suffix)
    if write is None:
        raise Http404
    return _download(write(found, entries.RowFilter.of(request.GET)), f"{detector}-reference.{suffix}")


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*READERS)
def reference_imports(request: HttpRequest, detector: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=detector)
    user = person(request)
    problem = ""
    if request.method == "POST":
        if not user.has_role(*reference_changes.DECIDERS):
            raise PermissionDenied
        file = request.FILES.get("file")
        if file is None or file.size is None or file.size > LARGEST_IMPORT:
            problem = _("Choose a file of at most %(size)s MB; a larger one takes manage.py import_reference.") % {
                "size": LARGEST_IMPORT >> 20
            }
        else:
            staged = imports.stage(
                found, cast(BinaryIO, file.file), file.name or "", user
            )  # a file on the disk when large
            return redirect("labeling:reference-import", staged.pk)
    context = {
        "detector": found,
        "imports": ReferenceImport.objects.filter(detector=found).select_related("by", "decided_by")[:50],
        "may_import": user.has_role(*reference_changes.DECIDERS),
        "problem": problem,
    }
    return render(request, "labeling/reference_imports.html", context, status=400 if problem else 200)


@require_safe
@role_required(*READERS)
def reference_import(request: HttpRequest, pk: int) -> HttpResponse:
    return _import_page(request, _import(pk))


@require_POST
@role_required(Role.SENIOR, Role.ENGINEER)
def decide_import(request: HttpRequest, pk: int) -> HttpResponse:
    """Let rows in as the second person, decline, or take one's own import back."""
    found, note = _import(pk), request.POST.get("note", "")
    try:
        if request.POST.get("approve"):
            return redirect("jobs:job", imports.approve(found, person(request), note).pk)
        imports.decline(found, person(request), note)
    except ChangeRefused as refused:
        return _import_page(request, found, str(refused), 409)
    return redirect("labeling:reference-import", pk)


@require_safe
@role_required(*READERS)
def download_bad_lines(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    return _download(imports.quarantined(_import(pk)), f"import-{pk}-bad-lines.jsonl")


def _import_page(request: HttpRequest, found: ReferenceImport, problem: str = "", status: int = 200) -> HttpResponse:
    user = person(request)
    approves = imports.may_approve(found, user)
    context = {
        "found": found,
        "detector": found.detector,
        "may_approve": approves,
        "may_decline": approves or (found.state == ReferenceImport.State.WAITING and found.by_id == user.pk),
        "problem": problem,
    }
    return render(request, "labeling/reference_import.html", context, status=status)


def _import(pk: int) -> ReferenceImport:
    return get_object_or_404(ReferenceImport.objects.select_related("detector", "by", "decided_by"), pk=pk)


def _download(pieces: Iterator[bytes], name: str) -> StreamingHttpResponse:
    """Attackers wrote what is in it: the browser keeps it and never shows it."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(pieces, content_type="application/octet-stream", headers=headers)


def _snapshot(detector: Detector, number: str) -> Snapshot:
    return get_object_or_404(Snapshot, detector=detector, number=paging.key_of(number))
