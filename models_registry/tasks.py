"""When versions score: new segments by ticks, stored ones by jobs."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from jobs.models import Job
from jobs.services import jobs, parts, ticks
from models_registry.services import (
    candidates,
    compaction,
    comparisons,
    corrections,
    feed,
    indicators,
    insights,
    ledger_roles,
    ledger_watch,
    retention,
)


@shared_task
def score_segments() -> int | None:
    """Score what came in."""
    return ticks.run("models_registry.score_segments", candidates.score_new)


@shared_task
def correct_scores() -> int | None:
    """Count anew what late rule hits changed."""
    return ticks.run("models_registry.correct_scores", corrections.correct_waiting)


@shared_task
def discard_old_score_files() -> int | None:
    """Delete score files that corrections replaced."""
    return ticks.run("models_registry.discard_old_score_files", corrections.discard_old_files)


@shared_task
def discard_scores() -> int | None:
    """Delete what was worked out about traffic that is gone."""
    return ticks.run("models_registry.discard_scores", retention.discard_scores)


@shared_task
def match_indicators() -> int | None:
    """Match what came in, and what is stored when lists change."""
    return ticks.run("models_registry.match_indicators", indicators.match_waiting)


@shared_task
def refresh_feed() -> int | None:
    """Sign timestamp and snapshot anew before they run out."""
    return ticks.run("models_registry.refresh_feed", lambda: int(feed.refresh(timezone.now())))


@shared_task
def start_compaction() -> int | None:
    """Give what is to be merged a job."""
    return ticks.run("models_registry.start_compaction", compaction.start_due)


@shared_task
def compact(pk: int) -> None:
    """Merge parts of a job until none is left."""
    job = Job.objects.get(pk=pk)
    parts.run(pk, lambda part: compaction.work(job, part))


@shared_task
def score_candidates() -> int | None:
    """Give every new candidate its job over what is stored."""
    return ticks.run("models_registry.score_candidates", candidates.start_waiting)


@shared_task
def score_candidate(pk: int) -> None:
    """Score parts of a candidate's job until none is left."""
    job = Job.objects.get(pk=pk)
    parts.run(pk, lambda segment: candidates.score_part(job, segment))


@shared_task
def collect_roles() -> int | None:
    """Enter what the porter wrote about roles into the ledger."""
    return ticks.run("models_registry.collect_roles", ledger_roles.collect)


@shared_task
def check_ledger() -> int | None:
    """Read the ledger through: chain, rows and files."""
    return ticks.run("models_registry.check_ledger", ledger_watch.check)


@shared_task
def start_explaining() -> int | None:
    """Give versions with a window that nobody looked at a job."""
    return ticks.run("models_registry.start_explaining", insights.start_due)


@shared_task
def explain_version(pk: int) -> None:
    """Work out what a version looks at."""
    jobs.run(pk, insights.explain)


@shared_task
def compare_bundle(pk: int) -> None:
    """Count what a bundle would change for customers."""
    jobs.run(pk, comparisons.compare)
