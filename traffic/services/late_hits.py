"""Rule hits that came too late to be stored with their session: they are joined beside its segment, once each.

A hit looks for sessions stored before it, a new segment for hits that came before it. Each looks once, after it can be
seen by all, so every pair of them meets. What finds nothing stays counted on its log; after `PATIENCE` nobody looks."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from detection.late_hits import Candidates, LateHit, Match, choose, mark_of, read_hits
from detection.sessions import OUTSIDE_SID, TRANSACTION
from traffic import models, storage
from traffic.models import Intake, Kind, OutsideHit, Segment
from traffic.services import segments
from traffic.services.outside_hits import microseconds

PATIENCE = timedelta(days=7)
BLOCK = 100_000  # hits without session that look for theirs together
OUTSIDE_BLOCK = 2_000
_COLUMNS = ["start", "flow_id", "tx_id", "app_proto"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = microseconds(datetime(9000, 1, 1, tzinfo=UTC))
log = structlog.get_logger(__name__)

Found = Mapping[int, Sequence[models.LateHit]]  # by segment, not yet written


class Overtaken(Exception):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """A segment became part of another one while hits looked into it: they look again at the next tick."""


def collect() -> int:
    """Join late hits with stored sessions; return how many words of rules sessions gained.

    Safe to run twice and beside itself: a hit is written once, and whoever looked says so when all is written."""
    gained = 0
    for pk in Intake.objects.with_late_hits().order_by("id").values_list("pk", flat=True).iterator():
        gained += _or_leave(_collect_of_intake, pk)
    gained += _collect_all_outside()
    for pk in Segment.objects.unasked().order_by("id").values_list("pk", flat=True).iterator():
        gained += _or_leave(_collect_for_segment, pk)
    return gained


def _or_leave(collect_one: Callable[[int], int], pk: int) -> int:
    """What cannot be read stays where it is, and holds up nobody."""
    try:
        return collect_one(pk)
    except Overtaken:
        return 0
    except OSError:
        log.exception("late_hits.failed", work=collect_one.__name__, pk=pk)
        return 0


# hits of a log look for sessions that are stored


def _collect_of_intake(pk: int) -> int:
    intake = Intake.objects.get(pk=pk)
    earlier = Segment.objects.of_traffic().filter(sensor_id=intake.sensor_id)
    gained, spans = 0, []
    for candidates in _blocks(intake):
        spans.append(candidates.span)
        found: dict[int, list[models.LateHit]] = defaultdict(list)
        for match in choose(_matches(candidates, _overlapping(earlier, candidates))):
            found[match.segment].append(_row(match, intake))
        with transaction.atomic():  # said again after a kill it changes nothing
            gained += _write(found)
    with transaction.atomic():
        Intake.objects.with_late_hits().filter(pk=pk).update(
            hits_collected_at=timezone.now(),
            hits_first_at=_moment(min(first for first, _last in spans)) if spans else None,
            hits_last_at=_moment(max(last for _first, last in spans)) if spans else None,
        )
        _count(intake)
    return gained


def _blocks(intake: Intake) -> Iterator[Candidates]:
    """Yield the hits of a log without session, a bounded number at a time; the same ones at every reading."""
    with storage.open_input(intake.orphans_path) as file, gzip.GzipFile(fileobj=file) as packed:
        first = 0
        while lines := [line.rstrip(b"\n") for line in islice(packed, BLOCK)]:
            if hits := read_hits(lines, first):
                yield Candidates(hits)
            first += len(lines)


def _overlapping(stored: QuerySet[Segment], candidates: Candidates) -> Iterator[Segment]:
    """Yield the segments that a hit's session may lie in."""
    first, last = candidates.span
    for segment in stored.filter(first_at__lte=_moment(last), last_at__gte=_moment(first)).iterator():
        assert segment.first_at and segment.last_at  # or the filter had left it out
        if candidates.overlap(microseconds(segment.first_at), microseconds(segment.last_at)):
            yield segment


def _matches(candidates: Candidates, stored: Iterable[Segment]) -> Iterator[Match]:
    for segment in stored:
        try:
            table = segments.read_sessions(segment, columns=_COLUMNS)
        except FileNotFoundError:  # deleted by age meanwhile
            continue
        yield from candidates.find(
            segment.pk,
            table["start"].cast("int64").to_numpy(),
            table["flow_id"].to_numpy(),
            table["tx_id"].to_pylist(),
            table["app_proto"].to_pylist(),
        )


def _row(match: Match, intake: Intake) -> models.LateHit:
    hit = match.hit
    return _late_hit(match.segment, match.row, hit.value, intake=intake, number=hit.number, times=hit.times)


def _late_hit(segment: int, row: int, value: Mapping[str, Any], **source: Any) -> models.LateHit:
    return models.LateHit(segment_id=segment, row=row, value=json.dumps(dict(value)), mark=mark_of(value), **source)


# a new segment looks for hits that came before it


def _collect_for_segment(pk: int) -> int:
    segment = Segment.objects.select_related("sensor").get(pk=pk)
    found: list[models.LateHit] = []
    logs: list[Intake] = []
    for intake in _waiting_for(segment):
        rows = [
            _row(match, intake) for candidates in _blocks(intake) for match in choose(_matches(candidates, [segment]))
        ]
        found += rows
        logs += [intake] if rows else []
    outside = list(_outside_of(segment))
    placed = _place(segment, outside)
    with transaction.atomic():
        # in the order in which the others lock: logs or outside hits, then segments
        _lock(Intake.objects.filter(pk__in=[intake.pk for intake in logs]))
        _lock(OutsideHit.objects.filter(pk__in=list(placed)))
        if not Segment.objects.unasked().filter(pk=pk).update(hits_asked_at=timezone.now()):
            return 0
        gained = _write({pk: [*found, *placed.values()]})
        for intake in logs:
            _count(intake)
        _mark_collected(placed)
    return gained


def _waiting_for(segment: Segment) -> QuerySet[Intake]:
    young = Intake.objects.filter(
        sensor_id=segment.sensor_id, kind=Kind.TRAFFIC, created_at__gt=timezone.now() - PATIENCE
    )
    return young.filter(hits_first_at__lte=segment.last_at, hits_last_at__gte=segment.first_at).order_by("id")


# what other systems said


def _collect_all_outside() -> int:
    gained = 0
    try:
        while fresh := list(_fresh_outside()[:OUTSIDE_BLOCK]):
            gained += _collect_outside(fresh)
    except Overtaken:
        log.info("late_hits.overtaken")
    return gained


def _fresh_outside() -> QuerySet[OutsideHit]:
    return OutsideHit.objects.uncollected().filter(asked_at=None).order_by("id")


def _collect_outside(hits: Sequence[OutsideHit]) -> int:
    """Look for the sessions of what another system said; where there is none yet, its segment will ask."""
    placed: dict[int, models.LateHit] = {}
    for sensor in sorted({hit.sensor for hit in hits}):
        told = [hit for hit in hits if hit.sensor == sensor]
        first, last = min(hit.start for hit in told), max(hit.start for hit in told)
        stored = Segment.objects.of_traffic().filter(sensor__name=sensor)
        near = stored.filter(first_at__lte=_moment(last), last_at__gte=_moment(first))
        for segment in near.select_related("sensor").iterator():
            inside = [hit for hit in told if _holds(segment, hit) and hit.pk not in placed]
            placed |= _place(segment, inside)
    with transaction.atomic():
        pks = [hit.pk for hit in hits]
        free = _lock(_fresh_outside().filter(pk__in=pks))
        OutsideHit.objects.filter(pk__in=free).update(asked_at=timezone.now())
        mine = {pk: row for pk, row in placed.items() if pk in free}
        found: dict[int, list[models.LateHit]] = defaultdict(list)
        for row in mine.values():
            found[row.segment_id].append(row)
        gained = _write(found)
        _mark_collected(mine)
    return gained


def _outside_of(segment: Segment) -> QuerySet[OutsideHit]:
    assert segment.first_at and segment.last_at
    waiting = OutsideHit.objects.uncollected().filter(received_at__gt=timezone.now() - PATIENCE)
    span = (microseconds(segment.first_at), microseconds(segment.last_at))
    return waiting.filter(sensor=segment.sensor.name, start__range=span).order_by("id")


def _holds(segment: Segment, hit: OutsideHit) -> bool:
    assert segment.first_at and segment.last_at
    return microseconds(segment.first_at) <= hit.start <= microseconds(segment.last_at)


def _place(segment: Segment, hits: Sequence[OutsideHit]) -> dict[int, models.LateHit]:
    """Return the late hit that each of them is, by its key, for those whose session is in the segment."""
    if not hits:
        return {}
    exact = Candidates(
        LateHit(hit.pk, 1, hit.flow_id, hit.tx_id, None, hit.start, hit.start, hit.start, outside_value(hit))
        for hit in hits
    )
    without_number = {hit.pk for hit in hits if hit.tx_id is None}
    found: dict[int, models.LateHit] = {}
    for match in _matches(exact, [segment]):
        if match.hit.number in without_number and _has_number(segment, match.row):
            continue  # the key says: a session without transaction number
        found.setdefault(match.hit.number, _late_hit(segment.pk, match.row, match.hit.value))
    return found


def _has_number(segment: Segment, row: int) -> bool:
    (told,) = segments.read_rows(segment, [row])
    return told["tx_id"] is not None


def outside_value(hit: OutsideHit) -> dict[str, Any]:
    """Return what another system said as a hit. Detectors listen where their rules name the system as a category."""
    return {
        "sid": OUTSIDE_SID,
        "gid": None,
        "rev": None,
        "signature": f"{hit.rule_id} {hit.rule_name}".strip(),
        "category": hit.system,
        "severity": None,
        "action": None,
        "scope": TRANSACTION,
    }


def _mark_collected(placed: Mapping[int, models.LateHit]) -> None:
    OutsideHit.objects.filter(pk__in=list(placed)).update(collected_at=timezone.now())


# writing


def _write(found: Found) -> int:
    """Write what sessions gained and count it on their segments; what they have already is not written again.

    Call inside atomic(). Segments are locked in one order: two writers cannot wait for each other in a circle.
    Raises Overtaken."""
    gained = 0
    for segment in Segment.objects.select_for_update().filter(pk__in=list(found)).order_by("pk"):
        if segment.merged_into_id is not None and found[segment.pk]:
            raise Overtaken
        rows = {(row.row, row.mark): row for row in reversed(found[segment.pk])}
        known = _known(segment, {at for at, _mark in rows})
        fresh = [row for key, row in sorted(rows.items()) if key not in known]
        models.LateHit.objects.bulk_create(fresh, batch_size=500)
        Segment.objects.filter(pk=segment.pk).update(late_hits=F("late_hits") + len(fresh))
        gained += len(fresh)
    return gained


def _known(segment: Segment, rows: set[int]) -> set[tuple[int, str]]:
    """Return the hits that these sessions have, stored with them or beside."""
    if not rows:
        return set()
    numbers = sorted(rows)
    hits = segments.read_sessions(segment, columns=["hits"])["hits"].take(numbers).to_pylist()
    return {(row, mark_of(hit)) for row, has in zip(numbers, hits, strict=True) for hit in has or ()}


def _count(intake: Intake) -> None:
    """Count how many hits of a log found a session later: one that speaks about a whole flow is one."""
    joined = models.LateHit.objects.filter(intake=intake).values_list("number", "times").distinct()
    Intake.objects.filter(pk=intake.pk).update(late_hits=sum(times for _number, times in joined))


def _lock(rows: QuerySet[Any]) -> set[int]:
    return {row.pk for row in rows.select_for_update().order_by("pk")}


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=min(max(micros, 0), _LATEST))
