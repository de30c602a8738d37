"""When logs are taken in, and what dead runs left is cleared away."""

from __future__ import annotations

from celery import shared_task

from jobs.services import jobs, ticks
from traffic.services import late_hits, log_jobs, replays, retention, runs, uploads


@shared_task
def ingest_file(pk: int) -> None:
    """Take a job's files in."""
    jobs.run(pk, log_jobs.ingest)


@shared_task
def ingest_upload(pk: int) -> None:
    """Take a job's uploaded file in."""
    jobs.run(pk, uploads.ingest)


@shared_task
def replay_quarantine(pk: int) -> None:
    """Read a job's quarantine again."""
    jobs.run(pk, replays.work)


@shared_task
def collect_late_hits() -> int | None:
    """Join rule hits with sessions that were stored before them."""
    return ticks.run("traffic.collect_late_hits", late_hits.collect)


@shared_task
def delete_old() -> int | None:
    """Delete what is too old, or too much for the disk."""
    return ticks.run("traffic.delete_old", retention.delete_old)


@shared_task
def discard_leftovers() -> int | None:
    """Delete unsealed segments of runs that died, and uploads nobody will take in."""
    return ticks.run("traffic.discard_leftovers", lambda: runs.discard_leftovers() + uploads.discard_uploads())
