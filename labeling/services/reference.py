"""From answers to the files that gate and train: reference rows, snapshots, training sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from detection import reference as policy
from detection.reference import ReferencePolicy, SnapshotRow, role_of, write_snapshot
from detection.rules import RuleVerdict, rule_verdict
from detection.sessions import COLUMN_NAMES
from detection.training_rows import TrainingRows, exclude, group_of, write_training_set
from labeling.models import DECIDED, Answer, Item, ItemState, Label, NotAdmitted, Queue, ReferenceRow, Role, Source
from labeling.services import groups
from labeling.services.records import from_json, moment
from models_registry.models import Detector, Snapshot, TrainingSet
from models_registry.services.detectors import rules_in_force
from models_registry.services.snapshots import receive_snapshot
from models_registry.services.training import receive_training_set, weak_rows

POLICY = ReferencePolicy()
CONFIRMED = 2.0  # weight of a complaint that trains: the words of two, the customer and an expert
GATING = (Source.EXPERT, Source.DUMP)  # rules and language models may train and suggest, never gate
EXPERTS_NEEDED = 2


def grow(detector: Detector | None = None) -> int:
    """Admit the settled items nobody has looked at yet; return how many became reference rows.

    An item is taken in the transaction that admits it, so growing twice, or in two processes, changes nothing."""
    waiting = Item.objects.for_reference().order_by("id")
    if detector is not None:
        waiting = waiting.filter(detector=detector)
    return sum(_admit(pk) for pk in list(waiting.values_list("pk", flat=True)))


def admit(item: Item) -> bool:
    """Admit one settled item at once; False when it is in, or may not enter."""
    return _admit(item.pk)


@transaction.atomic
def _admit(pk: int) -> bool:
    if not Item.objects.take_for_reference(pk):
        return False
    item = Item.objects.select_related("detector", "queue", "record").get(pk=pk)
    # one writer per detector: two look-alikes admitted at once would both see the last free place
    Detector.objects.select_for_update().get(pk=item.detector_id)
    agreeing = _agreeing(item)
    labels = groups.checked(agreeing)
    row = from_json(item.record.row)
    if why := _obstacle(item, labels, row):
        if why == NotAdmitted.ONE_EXPERT and len(agreeing) > len(labels):
            why = NotAdmitted.CHECK_WAITS
        Item.objects.filter(pk=pk).update(not_admitted=why)
        return False
    _reference_row(item, row, _family(labels)).labels.add(*labels)
    return True


def _agreeing(item: Item) -> list[Label]:
    return list(Label.objects.current().filter(item=item, answer=item.outcome, source__in=GATING))


def _obstacle(item: Item, labels: list[Label], row: dict[str, Any]) -> str:
    if item.outcome not in DECIDED:
        return NotAdmitted.UNDECIDED
    if item.is_proof:  # a random sample with its weights: neither limits nor a second answer may thin it
        return ""
    if len({label.expert_id for label in labels}) + _customer_agrees(item) < EXPERTS_NEEDED:
        return NotAdmitted.ONE_EXPERT
    alike = ReferenceRow.objects.in_force().filter(detector=item.detector, fingerprint=item.fingerprint)
    refusal = policy.refusal(
        rows_of_pair=alike.filter(host=host_of(row)).count(),
        rows_of_day=alike.filter(day=day_of(row)).count(),
        policy=POLICY,
    )
    return NotAdmitted(refusal.value) if refusal else ""


def _customer_agrees(item: Item) -> bool:
    """A complaint is the customer's word that his session is negative; together with one expert's that is two."""
    return item.queue.kind == Queue.Kind.COMPLAINT and item.outcome == Answer.NEGATIVE


def _family(labels: list[Label]) -> str:
    named = Counter(label.family for label in labels if label.family)
    return named.most_common(1)[0][0] if named else ""


def _reference_row(item: Item, row: dict[str, Any], family: str) -> ReferenceRow:
    rules = rules_in_force(item.detector)
    hit = rule_verdict(row["hits"], rules.mapping, inspected=True) is RuleVerdict.HIT
    return ReferenceRow.objects.create(
        detector=item.detector,
        item=item,
        subject_key=item.subject_key,
        title=_title(item),
        answer=item.outcome,
        family=family,
        rule_hit=hit,
        role=_role_of(item, row),
        shape=item.shape,
        fingerprint=item.fingerprint,
        host=host_of(row),
        day=day_of(row),
        sensor=item.sensor,
        source=item.source,
        protocol=row["protocol"] or "",
        row=item.record.row,
        digest=policy.row_digest(item.subject_key, item.outcome, row),
    )


def _title(item: Item) -> str:
    """Return what a row is called; of a complaint with its number first: gate reports name what they find fixed."""
    if item.queue.kind != Queue.Kind.COMPLAINT:
        return item.title
    return f"{item.complaint_item.number} · {item.title}"[:255]


def _role_of(item: Item, row: dict[str, Any]) -> str:
    if item.is_proof:
        return Role.FORWARD
    if item.queue.kind == Queue.Kind.COMPLAINT:  # must be right from now on, and is learnt from
        return Role.REGRESSION
    known = ReferenceRow.objects.filter(detector=item.detector, subject_key=item.subject_key)
    if known.filter(role=Role.REGRESSION).exists():  # it may have been learnt from: no way back
        return Role.REGRESSION
    return role_by_key(item.shape, host_of(row))


def role_by_key(shape: str, host: str) -> str:
    """Return the role that the keyed hash gives a look and host."""
    return role_of(settings.REFERENCE_KEY.encode(), shape, host, POLICY)


def host_of(row: dict[str, Any]) -> str:
    return (row["src_ip"] or "?")[:64]


def day_of(row: dict[str, Any]) -> Any:
    return moment(row["start"]).date()


def publish_snapshot(detector: Detector) -> Snapshot:
    """Freeze the detector's gating rows; an unchanged reference set gives the snapshot there is."""
    gating = ReferenceRow.objects.gating().filter(detector=detector)
    rows = [
        SnapshotRow(
            subject_key=row.subject_key,
            answer=row.answer,
            rule_hit=row.rule_hit,
            role=row.role,
            shape=row.shape,
            fingerprint=row.fingerprint,
            host=row.host,
            day=row.day.isoformat(),
            source=row.source,
            title=row.title,
            row=from_json(row.row),
        )
        for row in gating.order_by("id")
    ]
    return receive_snapshot(detector, write_snapshot(rows), rows=len(rows), counts=policy.counts(rows))


def publish_training_set(detector: Detector) -> TrainingSet:
    """Freeze what the next version may learn from: weak rows, and answers of experts that no gate holds back."""
    experts = list(_expert_rows(detector))
    rows = _without(weak_rows(detector), _held_out(detector), experts)
    everything = _joined(rows, experts)
    counts = {
        "origin": dict(sorted(Counter(everything.origin).items())),
        "class": {"positive": int(everything.label.sum()), "negative": int((everything.label == 0).sum())},
    }
    return receive_training_set(detector, write_training_set(everything), rows=len(everything.key), counts=counts)


@dataclass(frozen=True, slots=True)
class ExpertRow:
    """An answer that may be learnt from."""

    key: str
    group: str
    positive: bool
    source: str
    origin: str  # whose word it is: expert, dump, customer
    row: dict[str, Any]

    @property
    def weight(self) -> float:
        return CONFIRMED if self.origin == Source.CUSTOMER else 1.0


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What names a hold-out row: its session, and its look with its host. Its answer and inputs are not read.

    Of forward rows the session alone is held out: later versions are proven on later sessions. So it is of retired
    rows: nobody learns from a session whose answer was found to be worth nothing."""

    keys: frozenset[str]
    pairs: frozenset[tuple[str, str]]  # shape and host


def _held_out(detector: Detector) -> HeldOut:
    rows = ReferenceRow.objects.in_force().filter(detector=detector, role__in=(Role.HOLDOUT, Role.FORWARD))
    named = list(rows.values_list("role", "subject_key", "shape", "host"))
    return HeldOut(
        frozenset(key for _role, key, *_pair in named) | _retired(detector),
        frozenset((shape, host) for role, _key, shape, host in named if role == Role.HOLDOUT),
    )


def _retired(detector: Detector) -> set[str]:
    """Return the sessions of retired rows that no other row speaks about."""
    rows = ReferenceRow.objects.filter(detector=detector)
    others = rows.in_force().filter(subject_key=OuterRef("subject_key"))
    return set(rows.exclude(retired_at=None).exclude(Exists(others)).values_list("subject_key", flat=True))


def _expert_rows(detector: Detector) -> Iterator[ExpertRow]:
    """Yield regression rows, and undisputed answers of items that are in no reference row and would not be held out."""
    held_out = _held_out(detector)
    rows = ReferenceRow.objects.in_force().filter(detector=detector, role=Role.REGRESSION)
    for row in rows.order_by("subject_key", "id").select_related("item__queue").prefetch_related("labels"):
        if (row.shape, row.host) not in held_out.pairs and row.subject_key not in held_out.keys:
            origin = _origin(row.item, {label.source for label in row.labels.all()})
            yield _expert_row(row.subject_key, row.shape, row.answer, row.source, origin, row.row)
    for item, answer, sources in _labelled(detector):
        pair = item.shape, host_of(from_json(item.record.row))
        free = role_by_key(*pair) == Role.REGRESSION and pair not in held_out.pairs
        if free and item.subject_key not in held_out.keys:
            origin = _origin(item, sources)
            yield _expert_row(item.subject_key, item.shape, answer, item.source, origin, item.record.row)


def _origin(item: Item | None, sources: set[str]) -> str:
    """Return whose word a row is: a complaint is the customer's, and an expert confirmed it."""
    if item is not None and item.queue.kind == Queue.Kind.COMPLAINT:
        return Source.CUSTOMER.value
    return Source.DUMP.value if sources == {Source.DUMP} else Source.EXPERT.value


def _expert_row(key: str, shape: str, answer: str, source: str, origin: str, row: str) -> ExpertRow:
    values = from_json(row)
    return ExpertRow(key, group_of(shape, host_of(values)), answer == Answer.POSITIVE, source, origin, values)


def _labelled(detector: Detector) -> Iterator[tuple[Item, str, set[str]]]:
    """Yield items outside the reference set with the one answer that their labels give, and the labels' sources."""
    labels = Label.objects.current().filter(detector=detector, answer__in=DECIDED, source__in=GATING)
    answers: dict[int, set[str]] = {}
    sources: dict[int, set[str]] = {}
    for pk, answer, source in labels.values_list("item_id", "answer", "source"):
        answers.setdefault(pk, set()).add(answer)
        sources.setdefault(pk, set()).add(source)
    hunted = Item.objects.filter(detector=detector).exclude(queue__kind=Queue.Kind.PROOF)
    outside = hunted.filter(Exists(labels.filter(item=OuterRef("pk"))), reference_rows=None)
    for item in outside.select_related("record", "queue").order_by("subject_key", "id").iterator(chunk_size=500):
        if item.state == ItemState.SETTLED and item.outcome in DECIDED:
            yield item, item.outcome, sources[item.pk]
        elif item.state == ItemState.OPEN and len(answers[item.pk]) == 1:
            yield item, next(iter(answers[item.pk])), sources[item.pk]


def _without(weak: TrainingRows, held_out: HeldOut, experts: list[ExpertRow]) -> TrainingRows:
    """Return the weak rows that are not held out, and that no expert has judged or contradicted on a look-alike."""
    free = exclude(weak, held_out.keys, held_out.pairs)
    judged = {row.key for row in experts}
    said = {row.group: row.positive for row in experts}
    kept = [
        number
        for number, (key, group, label) in enumerate(zip(free.key, free.group, free.label.tolist(), strict=True))
        if key not in judged and said.get(group, bool(label)) == bool(label)
    ]
    return free.take(np.array(kept, dtype=np.intp))


def _joined(weak: TrainingRows, experts: list[ExpertRow]) -> TrainingRows:
    return TrainingRows(
        rows={name: [*weak.rows[name], *(row.row.get(name) for row in experts)] for name in COLUMN_NAMES},
        label=np.concatenate([weak.label, np.array([row.positive for row in experts], np.int8)]),
        weight=np.concatenate([weak.weight, np.array([row.weight for row in experts])]),
        source=[*weak.source, *(row.source for row in experts)],
        origin=[*weak.origin, *(row.origin for row in experts)],
        group=[*weak.group, *(row.group for row in experts)],
        key=[*weak.key, *(row.key for row in experts)],
    )
