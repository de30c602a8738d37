"""When complaints move: experts' answers at once, fixes as candidates and bundles come, deadlines by the hour."""

from __future__ import annotations

from celery import shared_task

from jobs.services import ticks
from triage.services import complaints, deadlines


@shared_task
def collect_complaints() -> int | None:
    """Take the experts' answers; a confirmed complaint asks for a candidate."""
    return ticks.run("triage.collect_complaints", complaints.collect)


@shared_task
def follow_complaints() -> int | None:
    """Find the candidate and the bundle that fix what was confirmed."""
    return ticks.run("triage.follow_complaints", complaints.follow)


@shared_task
def watch_deadlines() -> int | None:
    """Note warnings and breaches."""
    return ticks.run("triage.watch_deadlines", deadlines.watch)
