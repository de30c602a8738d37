"""Messages that wake workers up. A lost one is no loss: the sweeper sends another."""

from __future__ import annotations

import structlog
from celery import current_app
from kombu.exceptions import KombuError, OperationalError

log = structlog.get_logger(__name__)


def send(task: str, job: int, queue: str, times: int = 1) -> None:
    """Ask for a job to be run, by name: services know no tasks."""
    try:
        for _ in range(times):
            current_app.send_task(task, args=[job], queue=queue)
    except (KombuError, OperationalError, OSError):
        # whoever asked has committed; the row waits, and the sweeper asks again
        log.exception("job.not_sent", job=job, task=task, queue=queue)
