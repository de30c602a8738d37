"""Compaction: segments of a closed day become one, and what versions and lists said about their sessions moves along.

Nothing is scored or routed again: score files are rearranged as the sessions are. What may become one, and whose work
would be disturbed, is decided per segment; a segment that anything waits for is left for later. All switches at once,
in one transaction that finds everything as it was read."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts.models import User
from detection import compaction
from detection.compaction import Batch
from detection.indicators import HIT_SCHEMA
from detection.tables import SCORE_OPTIONS, SCORE_SCHEMA
from jobs.models import Job
from jobs.services import jobs
from jobs.services.lines import say
from models_registry.models import (
    ROUTED_STAGES,
    Correction,
    IndicatorMatch,
    ScoreFailure,
    ScoreFile,
    Version,
)
from models_registry.services.scoring import COUNTERS, ScoreMismatch, counters
from traffic import storage
from traffic.models import Segment
from traffic.services import compaction as files
from traffic.services import runs
from traffic.services.compaction import POLICY, Draft, Unreadable

TASK = "models_registry.tasks.compact"
KIND = gettext_noop("compaction")
RUN_KEY = "compaction"
MOST_BATCHES = 200  # of one job; the next one takes what is left
_SOME = 500  # numbers per statement
log = structlog.get_logger(__name__)

# per detector, in the order in which its versions were routed: a late hit asks what earlier ones had shown
Spoken = frozenset[tuple[int, tuple[tuple[int, int, float, bool], ...]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes one, and how many segments wait for hits, scores, routing or corrections."""

    batches: list[Batch]
    waiting: int


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of a batch."""

    segment: Segment | None  # None: left for later
    segments: int
    rows: int
    told: str


def plan(now: datetime | None = None, *, days: Collection[date] = ()) -> Plan:
    """Return what is to be merged: what is due, or what there is of some days; at most as much as one job does.

    What was said is asked only about segments that would become one if all had said the same."""
    now = now or timezone.now()
    stored = {pk: one for pk, one in files.stored().items() if not days or one.day in days}
    due = compaction.plan(stored.values(), now, POLICY, closed=days)
    found: list[Batch] = []
    waiting = 0
    for start in range(0, len(due), MOST_BATCHES):
        pks = [pk for batch in due[start : start + MOST_BATCHES] for pk in batch.pks]
        spoken = _spoken(pks)
        ready = [replace(stored[pk], key=(stored[pk].key, spoken[pk])) for pk in pks if pk in spoken]
        found += compaction.plan(ready, now, POLICY, closed=days)
        waiting += len(pks) - len(ready)
        if len(found) >= MOST_BATCHES:
            break
    return Plan(found[:MOST_BATCHES], waiting)


def start(*, days: Collection[date] = (), by: User | None = None) -> Job | None:
    """Start the job that merges what is due; None where nothing is. Of several that ask, one starts it."""
    batches = plan(days=days).batches
    if not batches:
        return None
    arguments = {"batches": [batch.pks for batch in batches], "policy": POLICY.to_dict()}
    parts = [(str(number), batch.rows) for number, batch in enumerate(batches)]
    return jobs.start(TASK, RUN_KEY, arguments, kind=KIND, queue="training", by=by, parts=parts)


def start_due() -> int:
    """Start the job that merges what is due; return how many batches it has."""
    if Job.objects.live().filter(run_key=RUN_KEY).exists():
        return 0
    job = start()
    return 0 if job is None else job.parts.count()


def work(job: Job, part: str) -> None:
    """Merge one batch of a job; what was merged already, or waits again, is left."""
    done = compact(job.arguments["batches"][int(part)])
    say(job.pk, done.told)


def compact(pks: Sequence[int]) -> Compacted:
    """Merge segments into one, if all of them are as they were planned. Damaged ones are left out.

    Safe to kill at any moment: until the switch nobody sees the new files, and the sweep finds them by their run."""
    left = list(pks)
    while True:
        sources = files.sources_of(left)
        try:
            return _compact(sources)
        except Unreadable as error:
            log.exception("compaction.unreadable", segment=error.segment.pk)
            left = [one.pk for one in sources if one.pk != error.segment.pk]


def _compact(sources: Sequence[Segment]) -> Compacted:
    spoken = _spoken([one.pk for one in sources])
    if not sources:
        return _left(sources, "nothing is left to merge")
    if len(spoken) < len(sources) or len(set(spoken.values())) > 1:
        return _left(sources, "something waits for them, or was said about some of them only")
    if len(sources) == 1 and sources[0].compacted_at is not None:
        return _left(sources, "it is sorted already")
    if not files.has_room(sources):
        return _left(sources, "the disk has no room for a copy")
    with runs.Run() as run:
        done = False
        try:
            draft = files.merge(sources, run)
            moved, match = _scores(draft), _match(draft)
            done = _switch(draft, spoken, moved, match)
        finally:
            if not done:
                runs.drop(run.name)
    if not done:
        return _left(sources, "something came in between")
    one = draft.segment
    log.info("compaction.done", segment=one.pk, of=len(sources), rows=one.rows, versions=len(moved))
    told = f"{_name(one)}: {len(sources):,} segments with {one.rows:,} sessions became segment {one.pk}"
    return Compacted(one, len(sources), one.rows, told)


def _left(sources: Sequence[Segment], why: str) -> Compacted:
    what = f"{_name(sources[0])}: {len(sources):,} segments" if sources else "a batch"
    return Compacted(None, len(sources), sum(one.rows for one in sources), f"{what} left for later: {why}")


def _name(segment: Segment) -> str:
    return f"{files.day_of(segment)} {segment.sensor.name} {segment.protocol}"


# what was said about a segment, and whether anything waits for it


def _spoken(pks: Sequence[int]) -> dict[int, Spoken]:
    """Return what was said about each of some segments; those that anything waits for are not in it."""
    found: dict[int, Spoken] = {}
    for start in range(0, len(pks), _SOME):
        found |= _spoken_of(pks[start : start + _SOME])
    return found


def _spoken_of(pks: Sequence[int]) -> dict[int, Spoken]:
    scored = ScoreFile.objects.filter(segment__in=pks).select_related("version", "segment")
    said: dict[int, list[ScoreFile]] = {pk: [] for pk in pks}
    waiting = set(ScoreFailure.objects.filter(segment__in=pks).values_list("segment_id", flat=True))
    waiting |= set(
        Correction.objects.uncollected()
        .filter(score_file__segment__in=pks)
        .values_list("score_file__segment_id", flat=True)
    )
    for file in scored:
        said[file.segment_id].append(file)
        if _waits(file):
            waiting.add(file.segment_id)
    wanted = _scoring()
    protocols = dict(Segment.objects.filter(pk__in=pks).values_list("pk", "protocol"))
    return {
        pk: _signature(told)
        for pk, told in said.items()
        if pk not in waiting and wanted[protocols[pk]] <= {file.version_id for file in told}
    }


def _waits(file: ScoreFile) -> bool:
    is_unrouted = file.routed_at is None and file.version.stage in ROUTED_STAGES
    return is_unrouted or file.late_hits != file.segment.late_hits or not file.path


def _scoring() -> dict[str, set[int]]:
    """Return the versions that score new segments, by protocol."""
    found: dict[str, set[int]] = defaultdict(set)
    for pk, protocol in Version.objects.scoring().values_list("pk", "detector__protocol"):
        found[protocol].add(pk)
    return found


def _signature(told: Iterable[ScoreFile]) -> Spoken:
    by_detector: dict[int, list[ScoreFile]] = defaultdict(list)
    for file in told:
        by_detector[file.version.detector_id].append(file)
    return frozenset(
        (
            detector,
            tuple(
                (file.version_id, file.mapping_id, file.threshold, file.routed_at is not None)
                for file in sorted(some, key=_turn)
            ),
        )
        for detector, some in by_detector.items()
    )


def _turn(file: ScoreFile) -> tuple[bool, float, int]:
    return file.routed_at is None, file.routed_at.timestamp() if file.routed_at else 0.0, file.version_id


# files of versions and lists, in the order of the merged segment


def _scores(draft: Draft) -> list[ScoreFile]:
    """Write what each version said about the draft's sessions; return the rows that will say so."""
    pks = [one.pk for one in draft.sources]
    of_version: dict[int, dict[int, ScoreFile]] = defaultdict(dict)
    for start in range(0, len(pks), _SOME):
        some = ScoreFile.objects.filter(segment__in=pks[start : start + _SOME])
        for file in some.select_related("version__detector"):
            of_version[file.version_id][file.segment_id] = file
    return [_rearranged(draft, [found[pk] for pk in pks]) for _version, found in sorted(of_version.items())]


def _rearranged(draft: Draft, parts: Sequence[ScoreFile]) -> ScoreFile:
    read = [_read(segment, file) for segment, file in zip(draft.sources, parts, strict=True)]
    scores = draft.rearranged(read)
    sums = {name: sum(getattr(file, name) for file in parts) for name in COUNTERS.values()}
    if counters(scores["cell"].to_numpy()) != sums:
        raise ScoreMismatch(f"scores of {parts[0].version} on {draft.segment} do not add up to their counts")
    first = parts[0]
    metadata = {"segment_digest": draft.segment.digest, "version": str(first.version)}
    path = draft.path(f"scores-{first.version_id}.parquet")
    routed = [file.routed_at for file in parts if file.routed_at is not None]
    return ScoreFile(
        version=first.version,
        segment=draft.segment,
        mapping_id=first.mapping_id,
        threshold=first.threshold,
        path=path,
        digest=storage.put_table(path, scores.replace_schema_metadata(metadata), **SCORE_OPTIONS),
        rows=len(scores),
        created_at=max(file.created_at for file in parts),
        routed_at=max(routed, default=None),
        **sums,
    )


def _read(segment: Segment, file: ScoreFile) -> pa.Table:
    """Return a score file after checking that it is what was written. Raises Unreadable."""
    try:
        data = storage.get_bytes(file.path)
        if hashlib.sha256(data).hexdigest() != file.digest:
            raise ScoreMismatch(f"{file.path} is not what was written")
        table = pq.read_table(pa.BufferReader(data))
        if len(table) != segment.rows:
            raise ScoreMismatch(f"{file.path} has {len(table)} rows, its segment {segment.rows}")
    except (OSError, ScoreMismatch, pa.ArrowException) as error:
        raise Unreadable(segment, error) from error
    return table.cast(SCORE_SCHEMA)


def _match(draft: Draft) -> IndicatorMatch | None:
    """Write which of the draft's sessions match lists; None where that is not known of all: then they match anew."""
    pks = [one.pk for one in draft.sources]
    found: dict[int, IndicatorMatch] = {}
    for start in range(0, len(pks), _SOME):
        found |= {one.segment_id: one for one in IndicatorMatch.objects.filter(segment__in=pks[start : start + _SOME])}
    if len(found) < len(pks) or len({one.state for one in found.values()}) > 1:
        return None
    try:
        hits = _rearranged_hits(draft, [found[pk] for pk in pks])
    except OSError:  # lists changed meanwhile
        return None
    counts: dict[str, int] = defaultdict(int)
    for one in found.values():
        for name, count in one.counts.items():
            counts[name] += count
    if len(hits) != sum(counts.values()):
        return None
    path = draft.path("matches.parquet") if len(hits) else ""
    if path:
        storage.put_table(path, hits)
    state = found[pks[0]].state
    return IndicatorMatch(segment=draft.segment, state=state, path=path, hits=len(hits), counts=dict(counts))


def _rearranged_hits(draft: Draft, parts: Sequence[IndicatorMatch]) -> pa.Table:
    places = np.empty(len(draft.places), np.int64)  # in the draft, of each row of the sources
    places[draft.places] = np.arange(len(draft.places))
    begins = np.cumsum([0, *(segment.rows for segment in draft.sources)])
    read = [HIT_SCHEMA.empty_table()]
    for begin, one in zip(begins.tolist(), parts, strict=False):
        if one.path:
            table = storage.get_table(one.path)
            rows = places[begin + (table["rid"].to_numpy() & 0xFFFFFFFF)]
            read.append(files.with_rids(table, rows | (draft.segment.pk << 32)))
    return pa.concat_tables(read).sort_by([("list", "ascending"), ("rid", "ascending")])


@transaction.atomic
def _switch(draft: Draft, spoken: dict[int, Spoken], moved: Sequence[ScoreFile], match: IndicatorMatch | None) -> bool:
    """Let the draft take the place of its sources; False where anything is not as it was read."""
    if not files.hold(draft):
        return False
    unrouted = [file.version_id for file in moved if file.routed_at is None]
    list(Version.objects.select_for_update().filter(pk__in=unrouted).order_by("pk"))  # none begins to be routed
    if _spoken([one.pk for one in draft.sources]) != spoken:
        return False
    ScoreFile.objects.bulk_create(moved, batch_size=_SOME)
    if match is not None:
        match.save()
    files.seal(draft)
    return True
