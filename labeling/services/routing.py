"""From score files to items: sessions that are worth a human fold by fingerprint into cases, a queue per reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import structlog
from django.db import transaction
from django.db.models import Count
from django.utils import timezone
from numpy.typing import NDArray

from detection.fingerprint import fingerprint, shape_of, title_of
from detection.scoring import probability
from detection.selection import (
    CELL_CODES,
    REASON_CODES,
    Cell,
    Reason,
    SelectionPolicy,
    Spoken,
    code_of,
    new_reasons,
    one_of_each_first,
    place_of,
    rounds,
    rule_verdict_of,
)
from detection.sessions import Row, session_key
from detection.texts import storable
from labeling.models import Item, ItemHost, ItemRecord, ItemState, PriorityRaise, Queue
from labeling.services import examples, missed, priorities, proofs, spread
from labeling.services.queues import move, needed_of, queue_of, take_places
from labeling.services.records import host_of, moment, stored_row, to_json
from labeling.services.verdicts import rule_set_of, verdicts_of
from models_registry.models import ROUTED_STAGES, ScoreFile
from models_registry.services.scoring import ScoreMismatch, read_scores
from traffic.models import Segment
from traffic.services import segments

log = structlog.get_logger(__name__)
POLICY = SelectionPolicy()
KINDS = {
    Reason.UNIQUE_CANDIDATE: Queue.Kind.UNIQUE,
    Reason.MISSED: Queue.Kind.MISSED,
    Reason.DISAGREEMENT: Queue.Kind.DISAGREEMENT,
    Reason.UNCERTAIN: Queue.Kind.UNCERTAIN,
    Reason.HUNT: Queue.Kind.HUNT,
    Reason.DUMP: Queue.Kind.DUMP,
}
BATCH = 500  # rows per statement
NEAREST = 2_000  # uncertain sessions of one segment that are looked at for their look


def route_waiting() -> int:
    """Turn what is worth a human in all unrouted score files into items; return how many sessions were routed.

    Safe to run twice and beside itself: a file is taken in the transaction that writes its items. A file that cannot be
    read stays where it is, and holds up nobody."""
    return sum(_route_or_leave(pk) for pk in _waiting())


def _route_or_leave(pk: int) -> int:
    try:
        return _route(pk)
    except (OSError, ScoreMismatch):  # gone, or not what was written
        log.exception("route.failed", score_file=pk)
        return 0


def _waiting() -> list[int]:
    # "active" sorts before "silent": where both flag a session, the item names the version customers see
    files = ScoreFile.objects.unrouted().filter(version__stage__in=ROUTED_STAGES)
    return list(files.order_by("version__stage", "id").values_list("pk", flat=True))


def _route(pk: int) -> int:
    file = score_files().get(pk=pk)
    counted = counted_files(file)
    # reading files inside the transaction would hold the only write lock of SQLite
    found = fold(file, counted)
    read_lines(file, found)
    drawn = _drawn(file)
    with transaction.atomic():
        Segment.objects.select_for_update().get(pk=file.segment_id)  # two versions of one segment, one after the other
        if not ScoreFile.objects.take_for_routing(pk):
            return 0
        now = score_files().get(pk=pk)
        # another version's file of this segment was routed meanwhile, or late rule hits corrected this one
        if counted_files(file) != counted or now.path != file.path:
            file, drawn = now, _drawn(now)
            found = fold(file, counted_files(file))
        routed = sum(write(file, reason, groups) for reason, groups in found.items())
        proofs.write(file, drawn)
    return routed


def _drawn(file: ScoreFile) -> list[proofs.Drawn]:
    """Return what is drawn of a file in the order of the traffic: who sees one item after the other learns nothing."""
    return sorted(proofs.draw(file) + missed.draw(file), key=lambda one: one.number)


def score_files() -> Any:
    return ScoreFile.objects.select_related("version__detector", "segment__rule_set", "segment__sensor", "mapping")


@dataclass(slots=True)
class Group:
    """Sessions of one file that share a fingerprint and are shown for one reason."""

    reason: Reason
    cell: Cell
    shape: str
    threshold: float
    rows: list[tuple[float, Row]] = field(default_factory=list)  # raw score and session
    line: bytes | None = None  # of the subject, as received; read for new items only

    @property
    def sessions(self) -> int:
        return len(self.rows)

    @property
    def hosts(self) -> Counter[str]:
        return Counter(host_of(row) for _raw, row in self.rows)

    @property
    def subject(self) -> tuple[float, Row]:
        """The session experts judge: the one the model is surest of, or least sure; the earliest of equals."""
        return max(self.rows, key=lambda pair: (self._strength(pair[0]), -pair[1]["start"]))

    @property
    def host(self) -> str:
        return host_of(self.subject[1])

    def _strength(self, raw: float) -> float:
        return -abs(float(probability(raw)) - self.threshold) if self.reason is Reason.UNCERTAIN else raw

    @property
    def in_order(self) -> list[Row]:
        return sorted((row for _raw, row in self.rows), key=lambda row: row["start"])

    @property
    def starts(self) -> list[int]:
        return [row["start"] for _raw, row in self.rows]

    def span(self) -> tuple[datetime, datetime]:
        return moment(min(self.starts)), moment(max(self.starts))


def counted_files(file: ScoreFile) -> set[int]:
    """Return the routed files of other versions on this segment: what they flagged is in the queue already."""
    others = ScoreFile.objects.filter(segment_id=file.segment_id, version__detector_id=file.version.detector_id)
    return set(others.exclude(pk=file.pk).exclude(routed_at=None).values_list("pk", flat=True))


def fold(file: ScoreFile, counted: Iterable[int]) -> dict[Reason, dict[str, Group]]:
    """Return what a score file newly shows, by reason and fingerprint."""
    scores = read_scores(file, columns=["raw", "verdict", "rules", "cell"])
    earlier = [
        spoken(other, read_scores(other, columns=["raw", "verdict", "rules"]))
        for other in score_files().filter(pk__in=list(counted)).order_by("pk")
    ]
    codes = new_reasons(spoken(file, scores), earlier, POLICY)
    raws, cells = scores["raw"].to_numpy(), scores["cell"].to_numpy()
    numbers = _nearest(codes, np.abs(probability(raws) - file.threshold))
    rows = segments.read_rows(file.segment, numbers) if numbers else []
    found: dict[Reason, dict[str, Group]] = {reason: {} for reason in REASON_CODES}
    for number, row, shape in _thinned(codes, numbers, rows):
        reason, cell = REASON_CODES[codes[number] - 1], CELL_CODES[cells[number]]
        add_to_group(file, found[reason], cell, reason, shape, (float(raws[number]), row))
    return {reason: groups for reason, groups in found.items() if groups}


def add_to_group(
    file: ScoreFile, groups: dict[str, Group], cell: Cell, reason: Reason, shape: str, session: tuple[float, Row]
) -> None:
    mark = fingerprint(file.version.detector.name, cell.value, shape)
    groups.setdefault(mark, Group(reason, cell, shape, file.threshold)).rows.append(session)


def spoken(file: ScoreFile, scores: Any) -> Spoken:
    return Spoken(
        positive=scores["verdict"].to_numpy(),
        score=probability(scores["raw"].to_numpy()),
        threshold=file.threshold,
        rules=scores["rules"].to_numpy(),
    )


def _nearest(codes: NDArray[np.int8], distances: NDArray[np.float64]) -> list[int]:
    """Return the rows to read: all that have a reason, of uncertain ones the nearest to the threshold."""
    uncertain = codes == code_of(Reason.UNCERTAIN)
    places = np.flatnonzero(uncertain)
    nearest = places[np.argsort(distances[places], kind="stable")[:NEAREST]]
    rows: list[int] = np.concatenate([np.flatnonzero((codes > 0) & ~uncertain), nearest]).tolist()
    return rows


def _thinned(codes: NDArray[np.int8], numbers: Sequence[int], rows: Sequence[Row]) -> Iterator[tuple[int, Row, str]]:
    """Yield rows with their shape; of uncertain ones, which come last and the nearest first, one per look and host."""
    uncertain = []
    for number, row in zip(numbers, rows, strict=True):
        if codes[number] == code_of(Reason.UNCERTAIN):
            uncertain.append((number, row, shape_of(row)))
        else:
            yield number, row, shape_of(row)
    keys = [(shape, host_of(row)) for _number, row, shape in uncertain]
    for place in one_of_each_first(keys, POLICY.most_uncertain):
        yield uncertain[place]


def read_lines(file: ScoreFile, found: Mapping[Reason, Mapping[str, Group]]) -> None:
    fresh = []
    for reason, groups in found.items():
        queue = queue_of(file.version.detector, KINDS[reason])
        known = set(existing(queue, list(groups)).values_list("fingerprint", flat=True))
        fresh += [group for mark, group in groups.items() if mark not in known]
    lines = segments.raw_lines(file.segment, [number_of(group.subject[1]) for group in fresh]) if fresh else []
    for group, line in zip(fresh, lines, strict=True):
        group.line = line


def _line(file: ScoreFile, group: Group) -> bytes:
    return segments.raw_line(file.segment, number_of(group.subject[1]))


def write(file: ScoreFile, reason: Reason, groups: Mapping[str, Group]) -> int:
    """Write the items of one queue; return how many sessions they stand for."""
    queue = queue_of(file.version.detector, KINDS[reason])
    states = dict(existing(queue, list(groups)).values_list("fingerprint", "state"))
    absent = [mark for mark in groups if states.get(mark) in (None, ItemState.EXPIRED)]
    places = _places(file, queue, reason, {mark: groups[mark] for mark in absent})
    # in the order of fingerprints, here and below, so that two writers cannot wait for each other in a circle
    fresh = sorted(mark for mark in places if mark not in states)
    marks = sorted({*states, *fresh})
    # counts start at zero: whoever was faster with the same fingerprint, the sums below are right
    raised = priorities.standing(file.version)
    made = [make_item(file, queue, mark, groups[mark], places[mark], raised) for mark in fresh]
    Item.objects.bulk_create(made, batch_size=BATCH, ignore_conflicts=True)
    locked = existing(queue, marks).select_related("raised_by").select_for_update(of=("self",))
    items = {item.fingerprint: item for item in locked.order_by("fingerprint")}
    _add_records(file, [(items[mark], groups[mark]) for mark in fresh])
    examples.add({items[mark].pk: groups[mark].in_order for mark in marks if items[mark].sessions <= examples.MOST})
    add_counts([(items[mark], groups[mark]) for mark in marks])
    spread.add(file.segment.sensor.name, {items[mark].pk: groups[mark].starts for mark in marks})
    reopen(items[mark] for mark in places if mark in states)
    move(queue.pk, None, ItemState.OPEN, len(places))
    return sum(groups[mark].sessions for mark in marks)


def _places(file: ScoreFile, queue: Queue, reason: Reason, groups: Mapping[str, Group]) -> dict[str, int]:
    """Return the looks that the day has attention for, with the round in which each stands."""
    if not groups:
        return {}
    strength = {
        mark: place_of(reason, score_of(group), file.threshold, group.sessions, len(group.hosts), POLICY).number
        for mark, group in groups.items()
    }
    marks = sorted(groups, key=lambda mark: (-strength[mark], mark))
    hosts = [groups[mark].host for mark in marks]
    turns = dict(zip(marks, rounds(hosts, _held(queue, set(hosts))), strict=True))
    by_turn = sorted(marks, key=lambda mark: (turns[mark], -strength[mark], mark))
    return {mark: turns[mark] for mark in by_turn[: take_places(queue, len(marks))]}


def _held(queue: Queue, hosts: set[str]) -> dict[str, int]:
    """Return how many open items of the queue each host has."""
    held: dict[str, int] = {}
    for some in _batches(sorted(hosts)):
        rows = ItemHost.objects.filter(item__queue=queue, item__state=ItemState.OPEN, host__in=some)
        held |= dict(rows.values_list("host").annotate(items=Count("item")))
    return held


def reopen(items: Iterable[Item]) -> None:
    """Open expired items again whose look came again."""
    pks = [item.pk for item in items]
    Item.objects.filter(pk__in=pks).update(state=ItemState.OPEN, created_at=timezone.now(), opened_at=None)


def existing(queue: Queue, marks: Sequence[str]) -> Any:
    return Item.objects.filter(queue=queue, fingerprint__in=marks)


def score_of(group: Group) -> float:
    return float(probability(group.subject[0]))


def make_item(file: ScoreFile, queue: Queue, mark: str, group: Group, turn: int, raised: PriorityRaise | None) -> Item:
    _raw, row = group.subject
    first, last = group.span()
    return Item(
        queue=queue,
        detector_id=queue.detector_id,
        version=file.version,
        subject_key=storable(session_key(file.segment.sensor.name, row), 200),
        cell=group.cell.value,
        shape=group.shape,
        fingerprint=mark,
        title=storable(title_of(row), 255),
        reason=group.reason.value,
        decision={
            "policy": POLICY.to_dict(),
            "score": score_of(group),
            "threshold": file.threshold,
            "rule_verdict": rule_verdict_of(group.cell).name.lower(),
            "rule_mapping": file.mapping.digest,
            "round": turn,
        },
        sensor=storable(file.segment.sensor.name, 100),
        source=storable(file.segment.source, 100),
        labels_needed=needed_of(queue, mark),
        raised_by=raised,
        sessions=0,
        hosts=0,
        first_at=first,
        last_at=last,
    )


def _add_records(file: ScoreFile, pairs: Sequence[tuple[Item, Group]]) -> None:
    verdicts = verdicts_of(file)
    ItemRecord.objects.bulk_create(
        (
            ItemRecord(
                item=item,
                row=to_json(stored_row(group.subject[1])),
                raw=storable((group.line or _line(file, group)).decode("utf-8", "replace")),
                scores=to_json(list(verdicts(number_of(group.subject[1])))),
                rule_set=storable(rule_set_of(file.segment), 255),
            )
            for item, group in pairs
        ),
        batch_size=BATCH,
        ignore_conflicts=True,
    )


def add_counts(pairs: Sequence[tuple[Item, Group]]) -> None:
    new_hosts = _add_hosts(pairs)
    for item, group in pairs:
        first, last = group.span()
        item.sessions += group.sessions
        item.hosts += new_hosts[item.pk]
        item.first_at, item.last_at = min(item.first_at, first), max(item.last_at, last)
        place = priorities.place(item, POLICY)
        item.priority, item.cause = place.number, place.cause.value
    fields = ["sessions", "hosts", "first_at", "last_at", "priority", "cause"]
    Item.objects.bulk_update([item for item, _group in pairs], fields, batch_size=100)


def _add_hosts(pairs: Sequence[tuple[Item, Group]]) -> Counter[int]:
    """Add sessions per source host of each item; return how many hosts each item had not seen before."""
    wanted = {(item.pk, host): count for item, group in pairs for host, count in group.hosts.items()}
    known = {}
    for some in _batches(sorted({host for _item, host in wanted})):
        for row in ItemHost.objects.filter(item__in=[item.pk for item, _group in pairs], host__in=some):
            if (key := (row.item_id, row.host)) in wanted:
                row.sessions += wanted[key]
                known[key] = row
    ItemHost.objects.bulk_update(known.values(), ["sessions"], batch_size=BATCH)
    fresh = [ItemHost(item_id=pk, host=host, sessions=n) for (pk, host), n in wanted.items() if (pk, host) not in known]
    ItemHost.objects.bulk_create(fresh, batch_size=BATCH)
    return Counter(row.item_id for row in fresh)


def number_of(row: Row) -> int:
    return int(row["rid"]) & 0xFFFFFFFF


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]
