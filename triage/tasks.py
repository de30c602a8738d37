"""When complaints and incidents move: answers at once, fixes as bundles come, counts of the field by the hour."""

from __future__ import annotations

from celery import shared_task

from jobs.services import jobs, ticks
from triage.services import announcements, complaints, deadlines, incidents, outbox
from triage.services.risk import detectors, items, nights, places
from triage.services.telemetry import age, days, sites


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
def take_detector_scores() -> int | None:
    """Take in what our own detectors said of the hosts that organisations watch."""
    return ticks.run("triage.take_detector_scores", detectors.take_waiting)


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
def close_telemetry_days() -> int | None:
    """Sum the hours that came, step the days that are closed, and say which sites went silent."""
    return ticks.run("triage.close_telemetry_days", lambda: days.close_due() + sites.tell_silent())


@shared_task
def discard_telemetry() -> int | None:
    """Delete messages, periods, sums of days and counts of scores by age."""
    return ticks.run("triage.discard_telemetry", lambda: age.discard_old() + places.discard_old())


@shared_task
def follow_incidents() -> int | None:
    """Find the publications that mitigate incidents, and tell of incidents that nobody acknowledges."""
    return ticks.run("triage.follow_incidents", incidents.follow)


@shared_task
def collect_announcements() -> int | None:
    """Find what is worth telling outside: confirmed labels, releases."""
    return ticks.run("triage.collect_announcements", announcements.collect)


@shared_task
def deliver_announcements() -> int | None:
    """Try the deliveries that are due."""
    return ticks.run("triage.deliver_announcements", outbox.deliver)
