"""What a bulk verdict would do, before anybody gives it: items, sessions, hosts, and what it would contradict."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from accounts.models import User
from detection.reference import refusal
from labeling.models import DECIDED, Answer, Item, ItemHost, ItemRecord, ItemState, Label, Queue, ReferenceRow
from labeling.services import groups, reference
from labeling.services.filters import ItemFilter
from labeling.services.records import from_json

MOST = 10_000  # items of one bulk verdict
BATCH = 2_000  # items per question
SHOWN = 10  # examples of what would be contradicted


@dataclass(frozen=True, slots=True)
class Against:
    """What one answer would contradict, and what it would bring into the reference set."""

    answer: str
    labelled: int  # items of these looks that an answer in force or an outcome says the opposite of
    rows: int  # reference rows of these looks that say the opposite
    examples: list[int]  # numbers of such items
    admitted: int  # reference rows it would make at most; the limits of look-alikes are respected


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that matches a filter now, and that one answer may be given to."""

    pks: list[int]
    too_many: bool
    sessions: int
    hosts: int
    looks: int
    against: dict[str, Against]  # by answer

    @property
    def items(self) -> int:
        return len(self.pks)

    @property
    def digest(self) -> str:
        """Tells whether what matches is still what was shown."""
        return hashlib.sha256(",".join(map(str, self.pks)).encode()).hexdigest()

    def stored(self, answer: str) -> dict[str, Any]:
        """Return the figures that go with a verdict, as they were shown."""
        figures = {"items": self.items, "sessions": self.sessions, "hosts": self.hosts, "looks": self.looks}
        if (against := self.against.get(answer)) is not None:
            contradicted = {"labelled": against.labelled, "rows": against.rows, "examples": against.examples}
            figures |= {"contradicts": contradicted, "admitted": against.admitted}  # type: ignore[dict-item]
        return figures


def preview(queue: Queue, wanted: ItemFilter, expert: User) -> Preview:
    """Return what matches a filter, by walking what matches: no page that is opened often asks for this."""
    opened = replace(wanted, state=ItemState.OPEN.value)
    free = groups.open_to(opened.apply(Item.objects.filter(queue=queue)), expert)
    found = list(free.order_by("pk").values_list("pk", "sessions", "shape")[: MOST + 1])
    kept = found[:MOST]
    pks, shapes = [pk for pk, _sessions, _shape in kept], {shape for _pk, _sessions, shape in kept}
    return Preview(
        pks=pks,
        too_many=len(found) > MOST,
        sessions=sum(sessions for _pk, sessions, _shape in kept),
        hosts=len(_hosts(pks)),
        looks=len(shapes),
        against={answer: _against(queue, answer, pks, shapes, expert) for answer in DECIDED},
    )


def _hosts(pks: Sequence[int]) -> set[str]:
    hosts: set[str] = set()
    for some in _batches(pks):
        hosts |= set(ItemHost.objects.filter(item__in=some).values_list("host", flat=True).distinct())
    return hosts


def _against(queue: Queue, answer: Answer, pks: Sequence[int], shapes: set[str], expert: User) -> Against:
    opposite = Answer.NEGATIVE if answer == Answer.POSITIVE else Answer.POSITIVE
    # from the side of what was answered: much less than what matches may be, and what waits
    said = Label.objects.current().filter(detector=queue.detector_id, answer=opposite)
    # answers about drawn items and seeds are nobody's to find
    said = said.exclude(item__queue__kind=Queue.Kind.PROOF).exclude(item__state=ItemState.SEED)
    labelled = sorted({pk for pk, shape in said.values_list("item_id", "item__shape").iterator() if shape in shapes})
    rows = ReferenceRow.objects.in_force().filter(detector=queue.detector_id, answer=opposite)
    return Against(
        answer=answer.value,
        labelled=len(labelled),
        rows=sum(shape in shapes for shape in rows.values_list("shape", flat=True).iterator()),
        examples=labelled[:SHOWN],
        admitted=_admitted(queue, answer, pks, expert),
    )


def _admitted(queue: Queue, answer: Answer, pks: Sequence[int], expert: User) -> int:
    """Count the rows that the answer would bring: items it would settle with another expert, within the limits."""
    policy = reference.POLICY
    pairs: Counter[tuple[str, str]] = Counter()
    days: Counter[tuple[str, Any]] = Counter()
    inside = ReferenceRow.objects.in_force().filter(detector=queue.detector_id)
    for mark, host, day in inside.values_list("fingerprint", "host", "day").iterator():
        pairs[mark, host] += 1
        days[mark, day] += 1
    admitted = 0
    for item in _settled_by(queue, answer, pks, expert):
        row = from_json(ItemRecord.objects.only("row").get(item=item).row)
        host, day = reference.host_of(row), reference.day_of(row)
        seen = {"rows_of_pair": pairs[item.fingerprint, host], "rows_of_day": days[item.fingerprint, day]}
        if refusal(**seen, policy=policy) is None:
            pairs[item.fingerprint, host] += 1
            days[item.fingerprint, day] += 1
            admitted += 1
    return admitted


def _settled_by(queue: Queue, answer: Answer, pks: Sequence[int], expert: User) -> Iterator[Item]:
    """Yield the items that one more such answer settles with that of another expert."""
    for some in _batches(pks):
        answers: dict[int, dict[int, str]] = {}
        current = Label.objects.current().filter(item__in=some).exclude(expert=expert)
        for pk, by, said in current.values_list("item_id", "expert_id", "answer"):
            answers.setdefault(pk, {})[by] = said
        for item in Item.objects.filter(pk__in=answers).select_related("queue").order_by("pk"):
            said_so = list(answers[item.pk].values())
            agree = said_so.count(answer.value)
            if agree and not {*said_so, answer.value} >= set(DECIDED) and agree + 1 >= item.needed:
                yield item


def _batches(pks: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(pks), BATCH):
        yield pks[start : start + BATCH]
