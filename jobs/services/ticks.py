"""Ticks of the clock: one holder at a time across all processes, so that a slow tick is never run twice at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db.models import F
from django.utils import timezone

from jobs.models import Tick
from jobs.services.jobs import told
from jobs.services.leases import kept_alive, name_of_this_worker, until

Answer = TypeVar("Answer")


@contextmanager
def hold(name: str, seconds: float | None = None) -> Iterator[bool]:
    """Say whether this process may run a tick now. While it does nobody else may; if it dies, not for `seconds`."""
    worker = name_of_this_worker()
    if not _take(name, worker, seconds):
        yield False
        return
    mine = Tick.objects.filter(name=name, worker=worker)
    try:
        with kept_alive(lambda: bool(mine.update(lease_until=until(seconds))), seconds):
            yield True
    except Exception as error:
        mine.update(lease_until=None, failed_at=timezone.now(), error=told(error))
        raise
    mine.update(lease_until=None, finished_at=timezone.now(), error="")


def run(name: str, work: Callable[[], Answer]) -> Answer | None:
    """Do the work of a tick unless another process is at it; return its answer."""
    with hold(name) as mine:
        return work() if mine else None


def _take(name: str, worker: str, seconds: float | None) -> bool:
    Tick.objects.get_or_create(name=name)
    now = timezone.now()
    free = Tick.objects.free(now).filter(name=name)
    return bool(free.update(worker=worker, lease_until=until(seconds), started_at=now, runs=F("runs") + 1))
