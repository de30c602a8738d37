"""When complaints move: experts' answers at once, fixes as candidates and bundles come, deadlines by the hour."""

from __future__ import annotations

from celery import shared_task

from jobs.services import jobs, ticks
from triage.services import announcements, complaints, deadlines, outbox
from triage.services.risk import items, nights


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


@shared_task
def start_risk_days() -> int | None:
    """Give every organisation with a day to close its job."""
    return ticks.run("triage.start_risk_days", nights.start_due)


@shared_task
def close_risk_days(pk: int) -> None:
    """Close days of an organisation."""
    jobs.run(pk, nights.work)


@shared_task
def open_risk_items() -> int | None:
    """Ask experts about alerts."""
    return ticks.run("triage.open_risk_items", items.open_waiting)


@shared_task
def collect_announcements() -> int | None:
    """Find what is worth telling outside: confirmed labels, releases."""
    return ticks.run("triage.collect_announcements", announcements.collect)


@shared_task
def deliver_announcements() -> int | None:
    """Try the deliveries that are due."""
    return ticks.run("triage.deliver_announcements", outbox.deliver)
