"""Pages of the machine room: what runs, how far it is, when it will end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.rights import role_required
from accounts.roles import Role
from jobs.models import Job, Part, State, Tick
from jobs.services import jobs as job_services

READERS = (Role.EXPERT, Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)
CANCELLERS = (Role.ENGINEER, Role.ADMINISTRATOR)
PAGE = 50
PARTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """A job as a page shows it now."""

    job: Job
    expected_end: datetime | None
    took: timedelta | None


@require_safe
@role_required(*READERS)
def jobs(request: HttpRequest) -> HttpResponse:
    """Live jobs, the clock, and what has ended, newest first, paged by key."""
    asked = request.GET.get("before", "")
    before = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 19 else 0
    ended = Job.objects.exclude(state__in=(State.WAITING, State.RUNNING)).select_related("created_by")
    if before:
        ended = ended.filter(pk__lt=before)
    page = list(ended[: PAGE + 1])
    context = {
        "live": _live(),
        "ended": [_shown(job) for job in page[:PAGE]],
        "older": page[PAGE - 1].pk if len(page) > PAGE else None,
        "first": not before,
        "ticks": Tick.objects.all(),
    }
    return render(request, "jobs/jobs.html", context)


@require_safe
@role_required(*READERS)
def live(request: HttpRequest) -> HttpResponse:
    return render(request, "jobs/_live.html", {"live": _live()})


@require_safe
@role_required(*READERS)
def job(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "jobs/job.html", _context(request, pk))


@require_safe
@role_required(*READERS)
def state(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "jobs/_job.html", _context(request, pk))


@require_POST
@role_required(*CANCELLERS)
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    assert isinstance(request.user, User)  # role_required let them in
    cancelled = job_services.cancel(get_object_or_404(Job, pk=pk), request.user)
    return render(request, "jobs/_job.html", _context(request, pk), status=200 if cancelled else 409)


def _context(request: HttpRequest, pk: int) -> dict[str, object]:
    found = get_object_or_404(Job.objects.select_related("created_by"), pk=pk)
    failed = Part.objects.filter(job=found, state=State.FAILED)
    return {
        "shown": _shown(found),
        "job": found,
        "failed_parts": failed[:PARTS_SHOWN],
        "may_cancel": isinstance(request.user, User) and request.user.has_role(*CANCELLERS),
    }


def _live() -> list[Shown]:
    return [_shown(job) for job in Job.objects.live().select_related("created_by")[:PAGE]]


def _shown(job: Job) -> Shown:
    now = timezone.now()
    return Shown(job, job.expected_end(now), job.took(now))
