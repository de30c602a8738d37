"""When it is done: the sweeper."""

from __future__ import annotations

from celery import shared_task

from jobs.services import jobs, ticks


@shared_task
def sweep() -> int | None:
    """Take up what died."""
    return ticks.run("jobs.sweep", jobs.sweep)
