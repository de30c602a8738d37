"""Pages of the machine room: what runs, how far it is, when it will end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts import paging
from accounts.models import User
from accounts.rights import may_open, role_required
from accounts.roles import READERS, Role
from jobs.models import Job, Part, State, Tick
from jobs.services import jobs as job_services
from jobs.services.leases import where

CANCELLERS = (Role.ENGINEER, Role.ADMINISTRATOR)
PAGE = 50
PARTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """A job as a page shows it now."""

    job: Job
    expected_end: datetime | None
    left: timedelta | None  # until the expected end
    took: timedelta | None


@require_safe
@role_required(*READERS)
def jobs(request: HttpRequest) -> HttpResponse:
    """Live jobs, the clock, and what has ended, newest first, paged by key."""
    before = request.GET.get("before", "")
    ended = Job.objects.exclude(state__in=(State.WAITING, State.RUNNING)).select_related("created_by")
    page, older = paging.page(ended, before, PAGE)
    context = {
        "live": _live(),
        "ended": [_shown(job) for job in page],
        "older": older,
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
    assert isinstance(request.user, User)  # role_required let them in
    failed = Part.objects.filter(job=found, state=State.FAILED)
    return {
        "shown": _shown(found),
        "job": found,
        "holder": where(found.worker),
        "lines": found.lines.all(),
        "facts": _facts(found.result),
        "links": _links(found.result, request.user),
        "failed_parts": failed[:PARTS_SHOWN],
        "may_cancel": request.user.has_role(*CANCELLERS),
    }


def _live() -> list[Shown]:
    return [_shown(job) for job in Job.objects.live().select_related("created_by")[:PAGE]]


def _shown(job: Job) -> Shown:
    now = timezone.now()
    end = job.expected_end(now)
    return Shown(job, end, end - now if end else None, job.took(now))


def _facts(result: dict[str, Any]) -> list[tuple[str, object]]:
    """Return what a job found, one level deep: {"gate": {"passed": ...}} is told as "gate: passed"."""
    facts: list[tuple[str, object]] = []
    for name, value in result.items():
        if name == "links":
            continue
        if isinstance(value, dict):
            facts += [(f"{name}: {inner}", found) for inner, found in value.items()]
        elif isinstance(value, list):
            facts.append((name, len(value)))
        else:
            facts.append((name, value))
    return [(name.replace("_", " "), value) for name, value in facts]


def _links(result: dict[str, Any], user: User) -> list[dict[str, str]]:
    """Return the pages about what a job made that this user may open."""
    found = []
    for link in result.get("links", []):
        with suppress(NoReverseMatch):  # an old job may name a page that is no more
            url = reverse(link["url_name"], args=link["arguments"])
            if may_open(user, url):
                found.append({"title": link["title"], "url": url})
    return found
