"""What versions look at: a job per version draws sessions of each week and stores their contributions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np
from django.db.models import QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext_noop
from numpy.typing import NDArray

from detection.cross_validation import drawn
from detection.insight import drift, insight
from detection.sessions import Row
from detection.thresholds import raw_threshold
from detection.training_rows import read_training_set
from jobs.models import Job
from jobs.services import jobs
from jobs.services.jobs import Lease
from models_registry.models import Insight, ScoreFile, Stage, Version
from models_registry.models.insights import TRAINING
from models_registry.services import snapshots, versions
from models_registry.services.scoring import ScoreMismatch, read_scores
from traffic.models import Segment
from traffic.services import segments

TASK = "models_registry.tasks.explain_version"
KIND = gettext_noop("explain version")
WEEKS = 8  # back from now
SESSIONS = 400  # of a window, as they come: 1.6 ms each for 300 trees of 31 leaves
VERDICTS = 200  # of a window, sought
SEGMENTS = 8  # of a window that are read


def start_due() -> int:
    """Start a job for each version in use that has a window nobody looked at; return how many."""
    found = Version.objects.scoring().select_related("detector", "training_set")
    return len([_start(version) for version in found if _missing(version)])


def _start(version: Version) -> Job:
    return jobs.start(TASK, f"explain {version}", {"version": version.pk}, kind=KIND, queue="training")


def explain(lease: Lease) -> dict[str, Any]:
    """Work out the windows that are missing; a second run goes on where the first stopped."""
    version = Version.objects.select_related("detector", "training_set").get(pk=lease.job.arguments["version"])
    missing = _missing(version)
    for number, (window, rows) in enumerate(missing.items()):
        lease.progress(number, len(missing))
        if (made := _explained(version, window)) is not None:
            Insight.objects.update_or_create(version=version, window=window, defaults={"rows": rows, **made})
            lease.say(f"{window}: {made['sessions']} sessions, {made['verdicts']} verdicts")
    return {"links": [jobs.link(str(version), "models_registry:version", version.detector.name, version.number)]}


def _missing(version: Version) -> dict[str, int]:
    """Return the windows that were never looked at, or have grown since a day or longer, with their sessions."""
    known = {one.window: one for one in version.insights.all()}
    day_ago = timezone.now() - timedelta(days=1)
    windows = {TRAINING: version.training_set.rows} | _weeks(version)
    return {
        window: rows
        for window, rows in windows.items()
        if window not in known or (known[window].rows != rows and known[window].created_at < day_ago)
    }


def _weeks(version: Version) -> dict[str, int]:
    """Return the sessions of each recent week that has any, by its Monday."""
    found = {}
    for monday in _mondays():
        rows = _stored(version, monday).aggregate(rows=Sum("rows"))["rows"]
        if rows:
            found[f"{monday:%Y-%m-%d}"] = rows
    return found


def _mondays() -> Iterator[datetime]:
    today = timezone.now().astimezone(UTC).date()
    monday = datetime.combine(today - timedelta(days=today.weekday()), time(), UTC)
    yield from (monday - timedelta(weeks=back) for back in range(WEEKS))


def _stored(version: Version, monday: datetime) -> QuerySet[Segment]:
    of_week = {"first_at__gte": monday, "first_at__lt": monday + timedelta(weeks=1)}
    stored = Segment.objects.of_traffic().filter(protocol=version.detector.protocol, **of_week)
    return stored.exclude(sessions_path="")


def _explained(version: Version, window: str) -> dict[str, Any] | None:
    drawn_rows = _of_training(version) if window == TRAINING else _of_week(version, window)
    if drawn_rows is None or not drawn_rows.rows:
        return None
    found = insight(
        versions.text_model(version),
        version.text_digest,
        versions.contract(version),
        drawn_rows.rows,
        drawn_rows.rids,
        np.array(drawn_rows.is_verdict, dtype=np.bool_),
        np.array(drawn_rows.is_sample, dtype=np.bool_),
    )
    return {
        "sessions": found.sessions,
        "verdicts": found.verdicts,
        "shares": [asdict(share) for share in found.shares],
        "examples": [asdict(example) for example in found.examples],
        "created_at": timezone.now(),
    }


@dataclass(slots=True)
class _Drawn:
    rows: list[Row]
    rids: list[int | None]
    is_verdict: list[bool]
    is_sample: list[bool]


def _generator(version: Version, window: str) -> np.random.Generator:
    """Return dice that fall the same way each time for a version's window."""
    return np.random.default_rng(int.from_bytes(drawn(version.pk, window)[:8], "big"))


def _of_training(version: Version) -> _Drawn:
    """Return rows of the training set: some as they come, and positives."""
    rows = read_training_set(snapshots.read(version.training_set)).canonical()
    dice = _generator(version, TRAINING)
    everything, positive = np.arange(len(rows)), np.flatnonzero(rows.label == 1)
    sample = dice.permutation(everything)[:SESSIONS]
    sought = np.setdiff1d(dice.permutation(positive)[:VERDICTS], sample)
    chosen = rows.take(np.concatenate([sample, sought]))
    records: list[Row] = [
        dict(zip(chosen.rows, values, strict=True)) for values in zip(*chosen.rows.values(), strict=True)
    ]
    labels = (chosen.label == 1).tolist()
    return _Drawn(records, [None] * len(records), labels, [number < len(sample) for number in range(len(records))])


def _of_week(version: Version, window: str) -> _Drawn | None:
    monday = datetime.fromisoformat(window).replace(tzinfo=UTC)
    dice = _generator(version, window)
    stored = list(_stored(version, monday).order_by("id"))
    chosen = [stored[number] for number in sorted(dice.permutation(len(stored))[:SEGMENTS].tolist())]
    found = _Drawn([], [], [], [])
    for segment in chosen:
        try:
            _draw(found, version, segment, dice, len(chosen))
        except (OSError, ScoreMismatch):  # deleted by age meanwhile, or damaged: the others tell as much
            continue
    return found


def _draw(found: _Drawn, version: Version, segment: Segment, dice: np.random.Generator, parts: int) -> None:
    """Add a segment's share of the window's sessions and verdicts."""
    flagged = _verdicts(version, segment)
    sample = np.sort(dice.permutation(segment.rows)[: -(-SESSIONS // parts)])
    sought = dice.permutation(np.flatnonzero(flagged))[: -(-VERDICTS // parts)]
    rows = np.concatenate([sample, np.setdiff1d(sought, sample)])
    found.rows += segments.read_rows(segment, rows.tolist())
    found.rids += [segment.pk << 32 | row for row in rows.tolist()]
    found.is_verdict += flagged[rows].tolist()
    found.is_sample += [number < len(sample) for number in range(len(rows))]


def _verdicts(version: Version, segment: Segment) -> NDArray[np.bool_]:
    """Return which sessions stand at or above the threshold; none where the version has not scored them."""
    file = ScoreFile.objects.filter(version=version, segment=segment).select_related("segment").first()
    if file is None or not file.path:
        return np.zeros(segment.rows, dtype=np.bool_)
    raw = read_scores(file, columns=["raw"])["raw"].to_numpy()
    above: NDArray[np.bool_] = raw >= raw_threshold(version.threshold)
    return above


# What a page shows


@dataclass(frozen=True, slots=True)
class Week:
    """How far a week lies from what the version was trained on."""

    window: str
    sessions: int
    drift: float


@dataclass(frozen=True, slots=True)
class Line:
    """One feature: its shares now, and in the other version."""

    title: str
    traffic: float
    verdicts: float | None
    push: float | None
    other: float | None
    change: float | None
    examples: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Picture:
    """What a page says of a version."""

    insight: Insight  # of the newest week; of the training where there is none
    lines: list[Line]
    weeks: list[Week]
    other: Version | None
    drift: float | None  # from the other version, in the same window


def picture(version: Version) -> Picture | None:
    """Return what is known; None where nothing was worked out yet."""
    known = {one.window: one for one in version.insights.all()}
    weeks = sorted(window for window in known if window != TRAINING)
    if not known:
        return None
    newest = known[weeks[-1]] if weeks else known[TRAINING]
    other, theirs = _other(version, newest.window)
    trained = _of(known.get(TRAINING))
    return Picture(
        insight=newest,
        lines=_lines(newest, theirs),
        weeks=[Week(one, known[one].sessions, drift(trained, _of(known[one]))) for one in weeks] if trained else [],
        other=other,
        drift=None if theirs is None else drift(_of(theirs), _of(newest)),
    )


def _other(version: Version, window: str) -> tuple[Version | None, Insight | None]:
    """Return the version to compare with, in this window: the active one, else the one before."""
    others = version.detector.versions.exclude(pk=version.pk)
    other = others.filter(stage=Stage.ACTIVE).first()
    other = other or others.filter(number__lt=version.number).order_by("-number").first()
    return other, other.insights.filter(window=window).first() if other else None


def _of(insight: Insight | None) -> dict[str, float]:
    return {share["name"]: share["traffic"] for share in insight.shares} if insight else {}


def _lines(insight: Insight, theirs: Insight | None, most: int = 12) -> list[Line]:
    others = _of(theirs)
    examples: dict[str, list[dict[str, Any]]] = {}
    for example in insight.examples:
        examples.setdefault(example["feature"], []).append(example)
    return [
        Line(
            title=share["title"],
            traffic=share["traffic"],
            verdicts=share["verdicts"],
            push=share["push"],
            other=others.get(share["name"], 0.0) if theirs else None,
            change=share["traffic"] - others.get(share["name"], 0.0) if theirs else None,
            examples=examples.get(share["name"], []),
        )
        for share in insight.shares[:most]
    ]
