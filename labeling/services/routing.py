"""From score files to items: unique candidates fold by fingerprint into cases worth a human."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from django.db import transaction

from detection.fingerprint import fingerprint, shape_of, title_of
from detection.rules import RuleVerdict
from detection.scoring import probability
from detection.selection import CELL_CODES, Cell, Reason, SelectionPolicy, priority
from detection.sessions import Row, session_key
from labeling.models import Item, ItemHost, ItemRecord, Queue
from labeling.services.queues import unique_queue
from labeling.services.records import from_json, moment, storable, stored_row, to_json
from models_registry.models import ScoreFile, Stage, Version
from models_registry.services.scoring import read_scores
from traffic.models import Segment
from traffic.services import segments

POLICY = SelectionPolicy()
ROUTED_STAGES = (Stage.ACTIVE, Stage.SILENT)  # a candidate's verdicts cost no expert's time
EXAMPLES = 5
BATCH = 500  # rows per statement


def route_waiting() -> int:
    """Turn the unique candidates of all unrouted score files into items; return how many sessions were routed.

    Safe to run twice and beside itself: a file is taken in the transaction that writes its items."""
    return sum(_route(pk) for pk in _waiting())


def _waiting() -> list[int]:
    # "active" sorts before "silent": where both flag a session, the item names the version customers see
    files = ScoreFile.objects.unrouted().filter(version__stage__in=ROUTED_STAGES)
    return list(files.order_by("version__stage", "id").values_list("pk", flat=True))


def _route(pk: int) -> int:
    file = _files().get(pk=pk)
    counted = _counted(file)
    # reading files inside the transaction would hold the only write lock of SQLite
    found = _fold(file, counted)
    _read_lines(file, found)
    with transaction.atomic():
        Segment.objects.select_for_update().get(pk=file.segment_id)  # two versions of one segment, one after the other
        if not ScoreFile.objects.take_for_routing(pk):
            return 0
        if _counted(file) != counted:  # another version's file of this segment was routed meanwhile
            found = _fold(file, _counted(file))
        if found:
            _write(file, unique_queue(file.version.detector), found)
    return sum(group.sessions for group in found.values())


def _files() -> Any:
    return ScoreFile.objects.select_related("version__detector", "segment__rule_set", "segment__sensor", "mapping")


@dataclass(slots=True)
class Group:
    """The unique candidates of one file that share a fingerprint."""

    shape: str
    rows: list[tuple[float, Row]] = field(default_factory=list)  # raw score and session
    line: bytes | None = None  # of the subject, as received; read for new items only

    @property
    def sessions(self) -> int:
        return len(self.rows)

    @property
    def hosts(self) -> Counter[str]:
        return Counter(_host(row) for _raw, row in self.rows)

    @property
    def subject(self) -> tuple[float, Row]:
        """The session experts judge: the one the model is surest of, the earliest of equals."""
        return max(self.rows, key=lambda pair: (pair[0], -pair[1]["start"]))

    def span(self) -> tuple[datetime, datetime]:
        starts = [row["start"] for _raw, row in self.rows]
        return moment(min(starts)), moment(max(starts))


def _counted(file: ScoreFile) -> set[int]:
    """Return the routed files of other versions on this segment: what they flagged is in the queue already."""
    others = ScoreFile.objects.filter(segment_id=file.segment_id, version__detector_id=file.version.detector_id)
    return set(others.exclude(pk=file.pk).exclude(routed_at=None).values_list("pk", flat=True))


def _fold(file: ScoreFile, counted: Iterable[int]) -> dict[str, Group]:
    """Return the new unique candidates of a score file by fingerprint."""
    scores = read_scores(file, columns=["rid", "raw", "cell"])
    chosen = _unique(scores)
    for other in _files().filter(pk__in=list(counted)):
        chosen &= ~_unique(read_scores(other, columns=["cell"]))
    numbers = np.flatnonzero(chosen)
    raws = scores["raw"].to_numpy()[numbers].tolist()
    rids = scores["rid"].to_numpy()[numbers]
    groups: dict[str, Group] = {}
    rows = segments.read_rows(file.segment, (rids & 0xFFFFFFFF).tolist()) if len(rids) else []
    for raw, row in zip(raws, rows, strict=True):
        shape = shape_of(row)
        mark = fingerprint(file.version.detector.name, Cell.UNIQUE.value, shape)
        groups.setdefault(mark, Group(shape)).rows.append((raw, row))
    return groups


def _read_lines(file: ScoreFile, groups: Mapping[str, Group]) -> None:
    queue = unique_queue(file.version.detector)
    known = set(_existing(queue, list(groups)).values_list("fingerprint", flat=True))
    fresh = [group for mark, group in groups.items() if mark not in known]
    lines = segments.raw_lines(file.segment, [_number(group.subject[1]) for group in fresh]) if fresh else []
    for group, line in zip(fresh, lines, strict=True):
        group.line = line


def _line(file: ScoreFile, group: Group) -> bytes:
    return segments.raw_line(file.segment, _number(group.subject[1]))


def _unique(scores: pa.Table) -> Any:
    return scores["cell"].to_numpy() == CELL_CODES.index(Cell.UNIQUE)


def _write(file: ScoreFile, queue: Queue, groups: Mapping[str, Group]) -> None:
    # in the order of fingerprints, here and below, so that two writers cannot wait for each other in a circle
    marks = sorted(groups)
    known = set(_existing(queue, marks).values_list("fingerprint", flat=True))
    fresh = [mark for mark in marks if mark not in known]
    # counts start at zero: whoever was faster with the same fingerprint, the sums below are right
    Item.objects.bulk_create(
        (_item(file, queue, mark, groups[mark]) for mark in fresh), batch_size=BATCH, ignore_conflicts=True
    )
    items = {item.fingerprint: item for item in _existing(queue, marks).select_for_update().order_by("fingerprint")}
    _add_records(file, [(items[mark], groups[mark]) for mark in fresh])
    _add_examples([(items[mark], groups[mark]) for mark in marks if items[mark].sessions <= EXAMPLES])
    _add_counts([(items[mark], groups[mark]) for mark in marks])


def _existing(queue: Queue, marks: Sequence[str]) -> Any:
    return Item.objects.filter(queue=queue, fingerprint__in=marks)


def _item(file: ScoreFile, queue: Queue, mark: str, group: Group) -> Item:
    raw, row = group.subject
    first, last = group.span()
    score = float(probability(raw))
    return Item(
        queue=queue,
        detector_id=queue.detector_id,
        version=file.version,
        subject_key=storable(session_key(file.segment.sensor.name, row), 200),
        cell=Cell.UNIQUE.value,
        shape=group.shape,
        fingerprint=mark,
        title=storable(title_of(row), 255),
        reason=Reason.UNIQUE_CANDIDATE.value,
        decision={
            "policy": POLICY.to_dict(),
            "score": score,
            "threshold": file.threshold,
            "rule_verdict": RuleVerdict.CLEAN.name.lower(),
            "rule_mapping": file.mapping.digest,
        },
        sessions=0,
        hosts=0,
        first_at=first,
        last_at=last,
    )


def _add_records(file: ScoreFile, pairs: Sequence[tuple[Item, Group]]) -> None:
    verdicts = _verdicts_of(file)
    ItemRecord.objects.bulk_create(
        (
            ItemRecord(
                item=item,
                row=to_json(stored_row(group.subject[1])),
                raw=storable((group.line or _line(file, group)).decode("utf-8", "replace")),
                scores=to_json(list(verdicts(_number(group.subject[1])))),
                rule_set=storable(_rule_set(file.segment), 255),
                sensor=storable(file.segment.sensor.name, 100),
                source=storable(file.segment.source, 100),
            )
            for item, group in pairs
        ),
        batch_size=BATCH,
        ignore_conflicts=True,
    )


def _add_examples(pairs: Sequence[tuple[Item, Group]]) -> None:
    """Fill up to EXAMPLES other sessions of each group, of other hosts first."""
    records = ItemRecord.objects.only("examples", "row").in_bulk([item.pk for item, _group in pairs])
    changed = []
    for item, group in pairs:
        record = records[item.pk]
        had = from_json(record.examples)
        if len(had) < EXAMPLES:
            record.examples = to_json(_examples(from_json(record.row), had, group))
            changed.append(record)
    ItemRecord.objects.bulk_update(changed, ["examples"], batch_size=100)


def _examples(subject: Row, had: list[dict[str, Any]], group: Group) -> list[dict[str, Any]]:
    seen = {_identity(row) for row in (subject, *had)}
    hosts = Counter(_host(row) for row in (subject, *had))
    chosen = list(had)
    candidates = [row for _raw, row in sorted(group.rows, key=lambda pair: pair[1]["start"])]
    while len(chosen) < EXAMPLES:
        fresh = [row for row in candidates if _identity(row) not in seen]
        if not fresh:
            break
        row = min(fresh, key=lambda row: hosts[_host(row)])  # the first of the least shown host
        seen.add(_identity(row))
        hosts[_host(row)] += 1
        chosen.append(stored_row(row))
    return chosen


def _add_counts(pairs: Sequence[tuple[Item, Group]]) -> None:
    new_hosts = _add_hosts(pairs)
    for item, group in pairs:
        first, last = group.span()
        item.sessions += group.sessions
        item.hosts += new_hosts[item.pk]
        item.first_at, item.last_at = min(item.first_at, first), max(item.last_at, last)
        score, threshold = item.decision["score"], item.decision["threshold"]
        item.priority = priority(score, threshold, item.sessions, item.hosts, POLICY)
    fields = ["sessions", "hosts", "first_at", "last_at", "priority"]
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


def _verdicts_of(file: ScoreFile) -> Any:
    """Return a function from row number to what each version that scored the segment said."""
    files = _files().filter(segment_id=file.segment_id, version__detector_id=file.version.detector_id)
    scored = [
        (other, read_scores(other, columns=["raw", "verdict"]))
        for other in files.exclude(version__stage=Stage.RETIRED).order_by("version__number")
    ]

    def verdicts(number: int) -> Iterator[dict[str, Any]]:
        for other, table in scored:
            raw = table["raw"][number].as_py()
            yield verdict_of(other.version, raw, other.threshold, table["verdict"][number].as_py())

    return verdicts


def verdict_of(version: Version, raw: float, threshold: float, verdict: bool) -> dict[str, Any]:
    """Return one bar of the labelling page, as it is stored with an item."""
    return {
        "version": version.number,
        "stage": version.stage,
        "score": float(probability(raw)),
        "raw": raw,
        "threshold": threshold,
        "verdict": verdict,
    }


def _rule_set(segment: Segment) -> str:
    rules = segment.rule_set
    if rules is None:
        return ""
    return f"{rules.name} ({rules.rules:,} rules)" if rules.declared else rules.name


def _host(row: Row) -> str:
    return storable(row["src_ip"] or "?", 64)


def _identity(row: Row) -> tuple[Any, ...]:
    return row["flow_id"], row["tx_id"], row["start"]


def _number(row: Row) -> int:
    return int(row["rid"]) & 0xFFFFFFFF


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]
