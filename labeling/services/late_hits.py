"""Rule hits that came later than items were made: on the item that shows them, and in what it stands for.

Answers stay as they were given; what follows from answer, verdict and rules follows the rules as they are known now."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray

from detection.fingerprint import fingerprint, shape_of, title_of
from detection.rules import RuleVerdict
from detection.scoring import probability
from detection.selection import (
    CELL_CODES,
    REASON_CODES,
    Cell,
    Reason,
    Spoken,
    cell_of,
    cells,
    new_reasons,
    rule_verdict_of,
)
from detection.sessions import Row, session_key
from detection.texts import storable
from labeling.models import Item, ItemHost, ItemRecord, ItemState, Label, Queue
from labeling.services import priorities, routing, spread
from labeling.services.queues import move, queue_of
from labeling.services.records import from_json, host_of, identity, stored_row, to_json
from labeling.services.routing import Group
from labeling.services.verdicts import verdicts_of
from models_registry.models import Correction, ScoreFile
from models_registry.services.scoring import ScoreMismatch, read_scores
from traffic.models import Segment
from traffic.services import segments

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Late:
    """A session that a late hit speaks about, as one version saw it."""

    key: str
    row: Row
    raw: float
    shape: str
    cells: tuple[Cell, Cell]  # before and after
    reasons: tuple[Reason | None, Reason | None]  # why it is shown because of this version

    @property
    def moved(self) -> bool:
        return self.reasons[0] is not self.reasons[1]


def correct_waiting() -> int:
    """Bring items up to date with all corrections of score files; return how many sessions were looked at.

    Safe to run twice and beside itself: a correction is taken in the transaction that changes its items."""
    return sum(_correct_or_leave(pk) for pk in list(Correction.objects.uncollected().values_list("pk", flat=True)))


def _correct_or_leave(pk: int) -> int:
    try:
        return _correct(pk)
    except (OSError, ScoreMismatch):
        log.exception("late_hits.items_failed", correction=pk)
        return 0


def _correct(pk: int) -> int:
    correction = Correction.objects.get(pk=pk)
    file = routing.score_files().get(pk=correction.score_file_id)
    found = _read(file, correction)
    with transaction.atomic():
        Segment.objects.select_for_update().get(pk=file.segment_id)  # nobody routes a file of it meanwhile
        if not Correction.objects.take(pk):
            return 0
        _tell_subjects(file, found)
        for reason, mark, sessions in _removed(file, found):
            _take_out(file, queue_of(file.version.detector, routing.KINDS[reason]), mark, sessions)
        for reason, groups in _added(file, found).items():
            routing.write(file, reason, groups)
        _subjects(file, found).filter(late_hit_at=None).update(late_hit_at=timezone.now())
    return len(found)


def _read(file: ScoreFile, correction: Correction) -> list[Late]:
    told = np.array(correction.rows, np.int64).reshape(-1, 3)
    numbers = told[:, 0]
    rows = segments.read_rows(file.segment, numbers.tolist())
    raw = read_scores(file, columns=["raw"])["raw"].to_numpy()[numbers]
    before, after = (_seen(file, numbers, told[:, column].astype(np.int8)) for column in (1, 2))
    return [
        Late(
            key=storable(session_key(file.segment.sensor.name, row), 200),
            row=row,
            raw=float(raw[place]),
            shape=shape_of(row),
            cells=(CELL_CODES[before[0][place]], CELL_CODES[after[0][place]]),
            reasons=(_reason(before[1][place]), _reason(after[1][place])),
        )
        for place, row in enumerate(rows)
    ]


def _seen(
    file: ScoreFile, numbers: NDArray[np.int64], rules: NDArray[np.int8]
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return board cell and reason of some sessions as routing gave them, had the rules said this."""
    detector = ScoreFile.objects.filter(segment_id=file.segment_id, version__detector_id=file.version.detector_id)
    earlier = routing.score_files().filter(pk__in=detector.filter(routed_at__lt=file.routed_at)).order_by("pk")
    own = _spoken(file, numbers, rules)
    others = [_spoken(other, numbers, rules) for other in earlier]
    return cells(own.positive, rules), new_reasons(own, others, routing.POLICY)


def _spoken(file: ScoreFile, numbers: NDArray[np.int64], rules: NDArray[np.int8]) -> Spoken:
    scores = read_scores(file, columns=["raw", "verdict"]).take(numbers)
    return Spoken(scores["verdict"].to_numpy(), probability(scores["raw"].to_numpy()), file.threshold, rules)


def _reason(code: int) -> Reason | None:
    return REASON_CODES[code - 1] if code else None


# what experts see of the session itself


def _subjects(file: ScoreFile, found: Sequence[Late]) -> Any:
    keys = [late.key for late in found]
    items = Item.objects.filter(detector=file.version.detector_id, subject_key__in=keys)
    return items.exclude(state=ItemState.SEED)


def _tell_subjects(file: ScoreFile, found: Sequence[Late]) -> None:
    of_key = {late.key: late for late in found}
    for item in _subjects(file, found).select_for_update().order_by("fingerprint"):
        late = of_key[item.subject_key]
        record = ItemRecord.objects.get(item=item)
        record.row = to_json(from_json(record.row) | {"hits": late.row["hits"]})
        record.save(update_fields=["row"])
        item.late_hit_at = item.late_hit_at or timezone.now()
        if late.cells[0] is not late.cells[1]:
            item.cell = cell_of(item.flagged, RuleVerdict.HIT).value  # the verdict is that of the item's own version
            item.decision |= {"rule_verdict": RuleVerdict.HIT.name.lower()}
        if item.state == ItemState.EXPIRED:
            item.fingerprint = _of_its_own(item)
        item.save(update_fields=["late_hit_at", "cell", "decision", "fingerprint"])


def _of_its_own(item: Item) -> str:
    """Return a fingerprint that nothing else has: the look may come again, this case is over."""
    return hashlib.sha256(f"{item.fingerprint}|{item.subject_key}".encode()).hexdigest()


# what an item stands for


def _removed(file: ScoreFile, found: Sequence[Late]) -> list[tuple[Reason, str, list[Late]]]:
    """Return the sessions that are no longer shown for their reason, by the look they were counted with."""
    groups: dict[tuple[Reason, str], list[Late]] = defaultdict(list)
    for late in found:
        reason = late.reasons[0]
        if late.moved and reason is not None and reason is not Reason.UNCERTAIN:  # of uncertain ones few were counted
            groups[reason, fingerprint(file.version.detector.name, late.cells[0].value, late.shape)].append(late)
    return [(reason, mark, groups[reason, mark]) for reason, mark in sorted(groups)]


def _added(file: ScoreFile, found: Sequence[Late]) -> dict[Reason, dict[str, Group]]:
    added: dict[Reason, dict[str, Group]] = defaultdict(dict)
    for late in found:
        if late.moved and (reason := late.reasons[1]) is not None:
            routing.add_to_group(file, added[reason], late.cells[1], reason, late.shape, (late.raw, late.row))
    return added


def _take_out(file: ScoreFile, queue: Queue, mark: str, gone: Sequence[Late]) -> None:
    """Let an item no longer stand for sessions that rules hit after all."""
    item = routing.existing(queue, [mark]).select_for_update().first()
    if item is None:  # the day's budget left it out
        return
    is_hit = item.subject_key in {late.key for late in gone}
    item.sessions = max(item.sessions - len(gone), 0 if is_hit else 1)
    item.hosts = max(item.hosts - _take_hosts(item, gone), min(item.sessions, 1))
    _place(item)
    item.save(update_fields=["sessions", "hosts", "priority", "cause"])
    _take_examples(item, gone)
    spread.take_out(file.segment.sensor.name, {item.pk: [late.row["start"] for late in gone]})
    if is_hit and _is_untouched(item):
        if item.sessions:
            _change_subject(file, item, mark)
        else:
            _close(item)


def _place(item: Item) -> None:
    place = priorities.place(item, routing.POLICY)
    item.priority, item.cause = place.number, place.cause.value


def _take_hosts(item: Item, gone: Sequence[Late]) -> int:
    """Take sessions from the item's hosts; return how many hosts have none left."""
    counts = Counter(host_of(late.row) for late in gone)
    left = 0
    for host in ItemHost.objects.filter(item=item, host__in=counts):
        host.sessions -= counts[host.host]
        if host.sessions > 0:
            host.save(update_fields=["sessions"])
        else:
            host.delete()
            left += 1
    return left


def _take_examples(item: Item, gone: Sequence[Late]) -> None:
    record = ItemRecord.objects.only("examples").get(item=item)
    had = from_json(record.examples)
    hit = {identity(late.row) for late in gone}
    kept = [row for row in had if identity(row) not in hit]
    if len(kept) < len(had):
        record.examples = to_json(kept)
        record.save(update_fields=["examples"])


def _is_untouched(item: Item) -> bool:
    """Whether nobody is looking at the item, and nobody has answered."""
    return item.state == ItemState.OPEN and item.holder is None and not Label.objects.filter(item=item).exists()


def _close(item: Item) -> None:
    """All it stood for is covered by rules: nothing is left to ask."""
    Item.objects.filter(pk=item.pk).update(state=ItemState.EXPIRED, fingerprint=_of_its_own(item))
    move(item.queue_id, ItemState.OPEN, None)


def _change_subject(file: ScoreFile, item: Item, mark: str) -> None:
    """Ask about another session of the look, if this segment has one; else the item stays, and tells of its hit."""
    group = _group(routing.fold(file, _counted_before(file)), item, mark)
    if group is None:
        return
    raw, row = group.subject
    number = routing.number_of(row)
    item.subject_key = storable(session_key(file.segment.sensor.name, row), 200)
    item.title = storable(title_of(row), 255)
    item.version, item.cell = file.version, group.cell.value
    item.sensor = storable(file.segment.sensor.name, 100)
    item.source = storable(file.segment.source, 100)
    item.late_hit_at = None
    item.opened_at = None
    rules = rule_verdict_of(group.cell).name.lower()
    item.decision |= {"score": float(probability(raw)), "threshold": file.threshold, "rule_verdict": rules}
    item.raised_by = priorities.standing(file.version)
    _place(item)
    item.save()
    others = [one for one in from_json(item.record.examples) if identity(one) != identity(row)]
    ItemRecord.objects.filter(item=item).update(
        row=to_json(stored_row(row)),
        raw=storable(segments.raw_line(file.segment, number).decode("utf-8", "replace")),
        scores=to_json(list(verdicts_of(file)(number))),
        examples=to_json(others),
    )


def _group(found: Mapping[Reason, Mapping[str, Group]], item: Item, mark: str) -> Group | None:
    return found.get(Reason(item.reason), {}).get(mark)


def _counted_before(file: ScoreFile) -> set[int]:
    others = ScoreFile.objects.filter(pk__in=routing.counted_files(file), routed_at__lt=file.routed_at)
    return set(others.values_list("pk", flat=True))
