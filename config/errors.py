"""Error pages: what happened, what was kept, what to do. Machines get the same as problem details."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from config.problems import is_for_machines, problem_response
from models_registry.services.snapshots import DamagedFile

log = structlog.get_logger(__name__)


class LostFiles:
    """Middleware: where a page needs a stored file that is gone or has changed it says so, instead of breaking."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, (DamagedFile, FileNotFoundError)):
            return None
        log.error("file.lost", path=request.path, error=str(exception))
        file = str(exception) if isinstance(exception, DamagedFile) else ""
        if is_for_machines(request):
            return problem_response(503, file or "A stored file is gone.", "file_lost")
        return render(request, "503_file.html", {"file": file}, status=503)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    status = 413 if isinstance(exception, RequestDataTooBig) else 400
    if is_for_machines(request):
        return problem_response(status, "The request cannot be read.", "bad_request")
    return render(request, "400.html", status=status)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if is_for_machines(request):
        return problem_response(403, "Not for this account.", "permission_denied")
    return render(request, "403.html", status=403)


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if is_for_machines(request):
        return problem_response(404, "Nothing is here; /api/v1/docs/ says what there is.", "not_found")
    return render(request, "404.html", status=404)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "403_csrf.html", status=403)


def too_many_requests(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "429.html", status=429)


def server_error(request: HttpRequest) -> HttpResponse:
    """Draw a page that needs no database: whatever failed may be the database."""
    if is_for_machines(request):
        return problem_response(500, "Something of ours failed. What was stored before stays.", "error")
    return render(None, "500.html", status=500)  # no request: no context processors
