"""Candidates over what is stored: every segment is one part of a job that several workers share."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, QuerySet, Sum
from django.utils.translation import gettext_noop

from accounts.models import User
from jobs.models import Job, State
from jobs.services import jobs
from jobs.services.lines import say
from models_registry.models import ScoreFailure, ScoreFile, Stage, Version
from models_registry.services import scoring
from models_registry.services.detectors import rules_in_force
from traffic.models import Segment

TASK = "models_registry.tasks.score_candidate"
KIND = gettext_noop("score candidate")


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a version should have scored, and what it has: a failed or missing segment never makes the first smaller."""

    segments: int
    segments_scored: int
    sessions: int
    sessions_scored: int
    failures: list[ScoreFailure]

    @property
    def complete(self) -> bool:
        return self.segments == self.segments_scored and self.sessions == self.sessions_scored


def coverage(version: Version) -> Coverage:
    """Return how much of the stored traffic a version has scored; what its job could not find any more counts too."""
    stored = _stored(version).aggregate(segments=Count("pk"), sessions=Sum("rows"))
    files = ScoreFile.objects.filter(version=version, segment__in=_stored(version))
    scored = files.aggregate(segments=Count("pk"), sessions=Sum("rows"))
    gone = _gone(version)
    return Coverage(
        segments=stored["segments"] + len(gone),
        segments_scored=scored["segments"],
        sessions=(stored["sessions"] or 0) + sum(gone),
        sessions_scored=scored["sessions"] or 0,
        failures=list(ScoreFailure.objects.filter(version=version).select_related("segment")[:20]),
    )


def _gone(version: Version) -> list[int]:
    """Return the sessions of each segment that was stored when the version's job began, and is missing."""
    job = newest_job(version)
    if job is None:
        return []
    failed = job.parts.filter(state=State.FAILED).values_list("key", "size")
    known = Segment.objects.filter(pk__in=[int(key) for key, _size in failed]).select_related("merged_into")
    kept = {segment.pk: segment.kept_in.pk for segment in known}
    stored = set(_stored(version).filter(pk__in=kept.values()).values_list("pk", flat=True))
    return [size for key, size in failed if kept.get(int(key)) not in stored]


def newest_job(version: Version) -> Job | None:
    """Return the newest job that scored a version over the store, if there was one."""
    return Job.objects.filter(run_key=_run_key(version)).order_by("-id").first()


def start(version: Version, by: User | None = None) -> Job:
    """Score a version over all stored segments; those it has scored already count at once."""
    parts = [(str(pk), rows) for pk, rows in _stored(version).order_by("id").values_list("pk", "rows")]
    return jobs.start(TASK, _run_key(version), {"version": version.pk}, kind=KIND, queue="training", by=by, parts=parts)


def start_waiting() -> int:
    """Start the candidates that were never scored over what is stored; return how many."""
    waiting = [version for version in _candidates() if not Job.objects.filter(run_key=_run_key(version)).exists()]
    return len([start(version) for version in waiting if _stored(version).exists()])


def score_new() -> int:
    """Score new segments by every scoring version, except candidates whose turn over all segments is not over."""
    busy = [
        version.pk
        for version in _candidates()
        if Job.objects.live().filter(run_key=_run_key(version)).exists()
        or not Job.objects.filter(run_key=_run_key(version)).exists()
    ]
    return scoring.score_waiting(Version.objects.scoring().exclude(pk__in=busy))


def score_part(job: Job, segment: str) -> None:
    """Score one segment by a job's version; Segment.DoesNotExist where it is gone."""
    version = Version.objects.select_related("detector").get(pk=job.arguments["version"])
    kept = Segment.objects.select_related("merged_into").get(pk=segment).kept_in  # merged since the job began
    if ScoreFile.objects.filter(version=version, segment=kept).exists():
        return
    stored = Segment.objects.sealed().select_related("rule_set").get(pk=kept.pk)
    if written := scoring.score_or_note(version, stored, rules_in_force(version.detector)):
        say(job.pk, f"segment {segment}: {written.rows:,} sessions, {written.unique_candidates:,} unique candidates")


def _candidates() -> list[Version]:
    return list(Version.objects.filter(stage=Stage.CANDIDATE).select_related("detector"))


def _stored(version: Version) -> QuerySet[Segment]:
    return Segment.objects.sealed().filter(protocol=version.detector.protocol)


def _run_key(version: Version) -> str:
    return f"score candidate {version}"
