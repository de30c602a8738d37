"""Work that several workers share: each takes the next part under a lease, the last one closes the job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone

from jobs.models import LIVE, Job, Part, State
from jobs.services.jobs import ATTEMPTS, told
from jobs.services.leases import kept_alive, name_of_this_worker, until, where
from jobs.services.lines import say

log = structlog.get_logger(__name__)


def run(pk: int, work: Callable[[str], None]) -> None:
    """Do parts of a job until none is free. Beside other workers, and again after any of them died.

    A part that fails fails alone: the others are done, and the job ends failed, saying how many parts."""
    if not _join(pk):
        return
    worker = name_of_this_worker()
    say(pk, f"{where(worker)} works on its parts")
    while (part := _take(pk, worker)) is not None:
        _work(part, worker, work)
    _close(pk)


def _join(pk: int) -> bool:
    return bool(
        Job.objects.filter(pk=pk, state__in=LIVE).update(
            state=State.RUNNING, lease_until=until(), started_at=Coalesce("started_at", timezone.now())
        )
    )


def _take(pk: int, worker: str) -> Part | None:
    """Take the first part that is free; None when there is none, or the job is to end."""
    while Job.objects.filter(pk=pk, state=State.RUNNING, cancel_asked_at=None).exists():
        now = timezone.now()
        part = Part.objects.filter(job_id=pk).takeable(now).order_by("id").first()
        if part is None:
            return None
        free = Part.objects.takeable(now).filter(pk=part.pk, attempts=part.attempts)
        if part.attempts >= ATTEMPTS:
            free.update(state=State.FAILED, error=f"Its worker died {part.attempts} times.")
        elif free.update(state=State.RUNNING, worker=worker, lease_until=until(), attempts=F("attempts") + 1):
            return part
    return None


def _work(part: Part, worker: str, work: Callable[[str], None]) -> None:
    mine = Part.objects.filter(pk=part.pk, state=State.RUNNING, worker=worker)

    def renew() -> bool:
        held = bool(mine.update(lease_until=until()))
        # later than the part's: when the sweeper takes up the job, the part is free
        Job.objects.filter(pk=part.job_id, state=State.RUNNING).update(lease_until=until())
        return held

    renew()
    try:
        with kept_alive(renew):
            work(part.key)
    except (OperationalError, InterfaceError):
        raise  # the database is away: the leases run out, and the sweeper tries again
    except Exception as error:
        log.exception("job.part_failed", job=part.job_id, part=part.key)
        if mine.update(state=State.FAILED, lease_until=None, error=told(error)):
            say(part.job_id, f"part {part.key} failed: {told(error)}")
    else:
        with transaction.atomic():  # counted by whoever finished it, once
            if mine.update(state=State.DONE, lease_until=None):
                Job.objects.filter(pk=part.job_id).update(done=F("done") + part.size)


def _close(pk: int) -> None:
    """End the job when no part is open, or when it was asked to and nobody works on it any more."""
    now = timezone.now()
    job = Job.objects.get(pk=pk)
    parts = Part.objects.filter(job_id=pk)
    ended = Job.objects.filter(pk=pk, state=State.RUNNING)
    if not parts.open().exists():
        failed = parts.filter(state=State.FAILED)
        count, first = failed.count(), failed.first()
        error = f"{count} of {parts.count()} parts failed; {first.key}: {first.error}" if first else ""
        state, told_of = (State.FAILED, f"failed: {error}") if first else (State.DONE, "done")
        result = {**job.result, "parts": parts.count(), "failed": count}
        values: dict[str, Any] = {"state": state, "result": result, "error": error}
    elif job.cancel_asked_at and not parts.filter(state=State.RUNNING, lease_until__gte=now).exists():
        values, told_of = {"state": State.CANCELLED}, "cancelled"
    else:
        return
    if ended.update(lease_until=None, finished_at=now, **values):
        say(pk, told_of)
