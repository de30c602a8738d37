"""Jobs: start one, run it under a lease, cancel it, take up what died."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from jobs.models import Job, Part, State
from jobs.services import broker
from jobs.services.leases import kept_alive, name_of_this_worker, until, where
from jobs.services.lines import say

log = structlog.get_logger(__name__)
ATTEMPTS = 3  # a job whose worker died that often kills workers
ERROR_LENGTH = 2000


class Cancelled(Exception):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Somebody asked for this job to end."""


class LeaseLost(Exception):  # noqa: N818
    """Somebody else holds the job now: what this worker does must not count."""


class Lease:
    """What the work of a job sees of it."""

    def __init__(self, job: Job, worker: str) -> None:
        self.job = job
        self._worker = worker

    @property
    def facts(self) -> dict[str, Any]:
        """What an earlier run of this job kept, before its worker died."""
        return dict(self.job.result)

    def progress(self, done: int, total: int) -> None:
        """Show progress and renew the lease; raises Cancelled, LeaseLost."""
        self._write(done=done, total=total)
        if Job.objects.filter(pk=self.job.pk).exclude(cancel_asked_at=None).exists():
            raise Cancelled

    def say(self, text: str) -> None:
        """Add a line to the job's log."""
        say(self.job.pk, text)

    def keep(self, **facts: Any) -> None:
        """Write facts for a second run, in the transaction that writes what they are about; raises LeaseLost."""
        self.job.result = {**self.job.result, **facts}
        self._write(result=self.job.result)

    def renew(self) -> bool:
        """Hold the job for another while; False when it is somebody else's."""
        return bool(self._mine().update(lease_until=until()))

    def finish(self, state: State, **values: Any) -> bool:
        """End the job; False when it is somebody else's."""
        values |= {"state": state, "lease_until": None, "finished_at": timezone.now()}
        if not self._mine().update(**values):
            return False
        self.say(f"{state.value}: {values['error']}" if values.get("error") else state.value)
        return True

    def _write(self, **values: Any) -> None:
        if not self._mine().update(lease_until=until(), **values):
            raise LeaseLost(str(self.job))

    def _mine(self) -> Any:
        return Job.objects.filter(pk=self.job.pk, state=State.RUNNING, worker=self._worker)


@transaction.atomic
def start(
    task: str,
    run_key: str,
    arguments: dict[str, Any] | None = None,
    *,
    kind: str,
    queue: str = "pipeline",
    by: User | None = None,
    parts: Sequence[tuple[str, int]] | None = None,
) -> Job:
    """Start a job, or return the live one of the same run key. Its task is sent when the transaction commits.

    With `parts` (key, size) it is work for `jobs.services.parts.run`, shared by several workers."""
    if live := Job.objects.live().filter(run_key=run_key).first():
        return live
    try:
        with transaction.atomic():
            job = Job.objects.create(
                kind=kind,
                run_key=run_key,
                task=task,
                arguments=arguments or {},
                queue=queue,
                created_by=by,
                total=sum(size for _key, size in parts or ()),
            )
    except IntegrityError:  # somebody was faster by a moment
        return Job.objects.filter(run_key=run_key).latest("id")
    Part.objects.bulk_create((Part(job=job, key=key, size=size) for key, size in parts or ()), batch_size=500)
    _send_on_commit(job)
    return job


def skip(task: str, run_key: str, reason: str, *, kind: str, **facts: Any) -> Job:
    """Record that work was decided against, and why."""
    return Job.objects.create(
        kind=kind,
        run_key=run_key,
        task=task,
        queue="pipeline",
        state=State.SKIPPED,
        finished_at=timezone.now(),
        result={"reason": reason, **facts},
    )


def run(pk: int, work: Callable[[Lease], dict[str, Any]]) -> None:
    """Do the work of a job under its lease; does nothing where somebody holds it, or where it has ended."""
    lease = take(pk)
    if lease is None:
        return
    try:
        with kept_alive(lease.renew):
            result = work(lease)
    except Cancelled:
        lease.finish(State.CANCELLED)
    except LeaseLost:
        log.warning("job.lease_lost", job=pk)
    except (OperationalError, InterfaceError):
        raise  # the database is away: the lease runs out, and the sweeper tries again
    except Exception as error:
        log.exception("job.failed", job=pk)
        lease.finish(State.FAILED, error=told(error))
    else:
        _done(lease, result)


def link(title: str, url_name: str, *arguments: str | int) -> dict[str, Any]:
    """Return what a job's result says of a page about something it made: `links=[link(...), ...]`."""
    return {"title": title, "url_name": url_name, "arguments": list(arguments)}


def _done(lease: Lease, result: dict[str, Any]) -> None:
    lease.finish(State.DONE, result=lease.facts | result, done=F("total"))


def told(error: Exception) -> str:
    """Return what a page says about an error; the traceback is in the log."""
    return f"{type(error).__name__}: {error}"[:ERROR_LENGTH].replace("\x00", "")


def take(pk: int) -> Lease | None:
    """Take a job that waits, or that a dead worker left; None when somebody was faster."""
    now = timezone.now()
    worker = name_of_this_worker()
    taken = Job.objects.takeable(now).filter(pk=pk)
    if not taken.update(
        state=State.RUNNING,
        worker=worker,
        lease_until=until(),
        attempts=F("attempts") + 1,
        started_at=Coalesce("started_at", now),
    ):
        return None
    lease = Lease(Job.objects.get(pk=pk), worker)
    lease.say(f"attempt {lease.job.attempts}, by {where(worker)}")
    return lease


@transaction.atomic
def cancel(job: Job, by: User) -> bool:
    """Ask a live job to end: at once where it waits, at its next step where it runs. False when it had ended."""
    now = timezone.now()
    waiting = Job.objects.filter(pk=job.pk, state=State.WAITING)
    running = Job.objects.filter(pk=job.pk, state=State.RUNNING, cancel_asked_at=None)
    if not (
        waiting.update(state=State.CANCELLED, cancel_asked_at=now, finished_at=now)
        or running.update(cancel_asked_at=now)
    ):
        return False
    audit.record(by, "job.cancel", str(job), job=job.pk)
    say(job.pk, f"{by} asked it to end")
    return True


def sweep() -> int:
    """Take up what died and send again what no worker heard of; return how many jobs were sent."""
    now = timezone.now()
    sent = sum(_revive(job) for job in Job.objects.dead(now))
    for job in Job.objects.unheard(now - timedelta(seconds=settings.JOB_RESEND_SECONDS)):
        sent += _send_again(job)
    return sent


def _revive(job: Job) -> bool:
    """Put a dead worker's job back in line, or end it."""
    left = Job.objects.dead(timezone.now()).filter(pk=job.pk, worker=job.worker)
    ended: dict[str, Any] = {"lease_until": None, "finished_at": timezone.now()}
    if job.cancel_asked_at:
        if left.update(state=State.CANCELLED, **ended):
            say(job.pk, "its worker died; cancelled")
    elif job.attempts >= ATTEMPTS:
        error = f"Its worker died {job.attempts} times."
        if left.update(state=State.FAILED, error=error, **ended):
            say(job.pk, f"failed: {error}")
    elif left.update(state=State.WAITING, lease_until=None, worker="", sent_at=None):
        say(job.pk, "its worker died; waits for another")
        return _send_again(job)
    return False


def _send_again(job: Job) -> bool:
    # the old value in the filter: of two sweepers one sends
    was = job.sent_at if job.state == State.WAITING else None
    if not Job.objects.filter(pk=job.pk, state=State.WAITING, sent_at=was).update(sent_at=timezone.now()):
        return False
    _send(job)
    return True


def _send_on_commit(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(sent_at=timezone.now())
    transaction.on_commit(lambda: _send(job))


def _send(job: Job) -> None:
    helpers = min(job.parts.open().count(), settings.JOB_HELPERS)
    broker.send(job.task, job.pk, job.queue, times=max(1, helpers))
