"""Proof: a blind random sample of a version's own positives, and what its answers show. For negatives see `missed`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from math import floor
from typing import Any

import numpy as np
import pyarrow as pa
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Sum
from django.utils import timezone
from numpy.typing import NDArray

from accounts.models import User
from accounts.roles import EXPERTS
from detection import proof, sampling
from detection.fingerprint import ADDRESS, NO_HOST, registered_domain, shape_of, title_of
from detection.proof import FalseAlerts, Proof, ProofRow
from detection.sampling import SamplingPolicy
from detection.scoring import probability
from detection.selection import CELL_CODES, Cause, Cell, rule_verdict_of
from detection.sessions import Row, session_key
from detection.tables import columns_of
from detection.texts import storable
from labeling.models import Answer, Item, ItemRecord, ItemState, Label, ProofDraw, ProofItem, Queue, QueuePrice
from labeling.services.labels import UNDO_WITHIN
from labeling.services.prices import price_of
from labeling.services.queues import budget, move, queue_of
from labeling.services.records import moment, stored_row, to_json
from labeling.services.verdicts import rule_set_of, verdicts_of
from models_registry.models import ScoreFile, Stage, Version
from models_registry.services import boards
from models_registry.services.boards import Seen
from models_registry.services.scoring import read_scores
from traffic.services import segments

POLICY = SamplingPolicy()
FLAGGED = ""  # the stratum of a version's positives; others are of what it let pass
REASON = "proof"  # of items; hunted ones have a detection.selection.Reason
TARGET = 0.99  # precision that "labels still needed" counts to
SHORTEST = 1 / 24  # of a day: less traffic than that says nothing about a day
BATCH = 500

Lots = Callable[[float], NDArray[np.bool_]]  # from a probability to who enters


@dataclass(frozen=True, slots=True)
class Drawn:
    """One session that entered: its place in the segment, its row, and the line as received."""

    draw: ProofDraw
    number: int
    row: Row
    line: bytes
    raw: float
    cell: Cell
    twice: bool  # answered by two experts


def draw(file: ScoreFile) -> list[Drawn]:
    """Draw from the positives of a score file that are later than the version's training freeze, day by day.

    The probability is decided once and stored: drawing again gives the same sessions."""
    scores = read_scores(file, columns=["raw", "verdict", "cell"])
    positives = np.flatnonzero(scores["verdict"].to_numpy()).tolist()
    if not positives:
        return []
    keys = _keys(file, positives)
    days: dict[date, list[int]] = {}
    for number, (_name, start) in keys.items():
        if start > file.version.training_set.frozen_at:
            days.setdefault(start.date(), []).append(number)
    entered: dict[int, ProofDraw] = {}
    for day, numbers in sorted(days.items()):
        subjects = [keys[number][0] for number in numbers]
        lots = partial(sampling.draw, secret(), scope(file.version, day), subjects)
        made, inside = stored_draw(file, day, FLAGGED, len(subjects), lots)
        entered |= {number: made for number, enters in zip(numbers, inside, strict=True) if enters}
    return read_drawn(file, entered, scores)


def _keys(file: ScoreFile, numbers: list[int]) -> dict[int, tuple[str, datetime]]:
    table = segments.read_sessions(file.segment, columns=["flow_id", "tx_id", "start"])
    table = table.take(pa.array(numbers))
    columns = columns_of(table.select(["flow_id", "tx_id", "start"]))
    names = zip(columns["flow_id"], columns["tx_id"], columns["start"], strict=True)
    sensor = file.segment.sensor.name
    return {
        number: (session_key(sensor, {"flow_id": flow, "tx_id": tx, "start": start}), moment(start))
        for number, (flow, tx, start) in zip(numbers, names, strict=True)
    }


@transaction.atomic
def stored_draw(
    file: ScoreFile, day: date, stratum: str, count: int, lots: Lots
) -> tuple[ProofDraw, NDArray[np.bool_]]:
    """Return the stored draw of a file, day and stratum, and which of its sessions enter.

    Its probability follows from counts alone, before any lot is drawn."""
    Version.objects.select_for_update().get(pk=file.version_id)  # files of one day, one after the other
    there = ProofDraw.objects.filter(score_file=file, day=day, stratum=stratum).first()
    if there is not None:
        return there, lots(there.probability)
    policy = _policy(file.version)
    so_far, day_before = (_sessions(file.version, one, stratum) for one in (day, day - timedelta(days=1)))
    expected = max(so_far + count, day_before)
    target = policy.missed_target if stratum else policy.target
    inside = lots(chance := sampling.inclusion_probability(expected, target))
    made = ProofDraw.objects.create(
        version=file.version,
        score_file=file,
        day=day,
        stratum=stratum,
        sessions=count,
        expected=expected,
        probability=chance,
        drawn=int(inside.sum()),
        policy=policy.to_dict(),
    )
    return made, inside


def _policy(version: Version) -> SamplingPolicy:
    """Dropping drawn sessions would bend the sample, so the day's budget bounds the target instead."""
    share = queue_of(version.detector, Queue.Kind.PROOF).raised_share
    return replace(POLICY, target=max(min(POLICY.target, budget() // 4), 1), second_share=share)


def _sessions(version: Version, day: date, stratum: str) -> int:
    draws = ProofDraw.objects.filter(version=version, day=day, stratum=stratum)
    return draws.aggregate(sum=Sum("sessions"))["sum"] or 0


def scope(version: Version, day: date) -> str:
    return f"{version}|{day.isoformat()}"


def secret() -> bytes:
    return settings.REFERENCE_KEY.encode()


def read_drawn(file: ScoreFile, entered: dict[int, ProofDraw], scores: Any) -> list[Drawn]:
    """Return the sessions that entered, by their row numbers. `scores` holds the columns raw and cell of the file."""
    numbers = list(entered)
    if not numbers:
        return []
    rows = segments.read_rows(file.segment, numbers)
    lines = segments.raw_lines(file.segment, numbers)
    return [
        Drawn(
            draw=entered[number],
            number=number,
            row=row,
            line=line,
            raw=scores["raw"][number].as_py(),
            cell=CELL_CODES[scores["cell"][number].as_py()],
            twice=sampling.needs_second(
                secret(),
                scope(file.version, entered[number].day),
                session_key(file.segment.sensor.name, row),
                SamplingPolicy(**entered[number].policy),
            ),
        )
        for number, row, line in zip(numbers, rows, lines, strict=True)
    ]


def write(file: ScoreFile, drawn: Sequence[Drawn]) -> None:
    """Write an item for each drawn session. Call it in the transaction that takes the file."""
    if not drawn:
        return
    queue = queue_of(file.version.detector, Queue.Kind.PROOF)
    items = Item.objects.bulk_create((_item(file, queue, one) for one in drawn), batch_size=BATCH)
    verdicts = verdicts_of(file)
    ItemRecord.objects.bulk_create(
        (
            ItemRecord(
                item=item,
                row=to_json(stored_row(one.row)),
                raw=storable(one.line.decode("utf-8", "replace")),
                scores=to_json(list(verdicts(one.number))),
                rule_set=storable(rule_set_of(file.segment), 255),
            )
            for item, one in zip(items, drawn, strict=True)
        ),
        batch_size=BATCH,
    )
    ProofItem.objects.bulk_create(
        (
            ProofItem(
                item=item,
                draw=one.draw,
                version=file.version,
                probability=one.draw.probability,
                host=storable(one.row["src_ip"] or "?", 64),
                domain=storable(_domain(one.row), 255),
            )
            for item, one in zip(items, drawn, strict=True)
        ),
        batch_size=BATCH,
    )
    move(queue.pk, None, ItemState.OPEN, len(items))


def _item(file: ScoreFile, queue: Queue, one: Drawn) -> Item:
    start = moment(one.row["start"])
    return Item(
        queue=queue,
        detector_id=queue.detector_id,
        version=file.version,
        subject_key=storable(session_key(file.segment.sensor.name, one.row), 200),
        cell=one.cell.value,
        shape=shape_of(one.row),
        fingerprint=_never_folded(file, one),
        title=storable(title_of(one.row), 255),
        reason=REASON,
        decision={
            "policy": one.draw.policy,
            "score": float(probability(one.raw)),
            "threshold": file.threshold,
            "rule_verdict": rule_verdict_of(one.cell).name.lower(),
            "rule_mapping": file.mapping.digest,
            "probability": one.draw.probability,
        },
        sensor=storable(file.segment.sensor.name, 100),
        source=storable(file.segment.source, 100),
        labels_needed=2 if one.twice else 1,
        cause=Cause.LOT.value,
        first_at=start,
        last_at=start,
    )


def _never_folded(file: ScoreFile, one: Drawn) -> str:
    return hashlib.sha256(json.dumps([REASON, str(file.version), int(one.row["rid"])]).encode()).hexdigest()


def _domain(row: Row) -> str:
    """Return the cluster of the destination: its registered domain, or its address where it has no name."""
    domain = registered_domain(row["host"])
    return (row["dst_ip"] or "?") if domain in (ADDRESS, NO_HOST) else domain


def is_blind(item: Item, user: User) -> bool:
    """Say whether this user must not see what others and models said: he may still answer, or might after an undo."""
    if not item.is_proof or not user.has_role(*EXPERTS):
        return False
    return item.settled_at is None or item.settled_at > timezone.now() - UNDO_WITHIN


# what the answers show


def rows_of(version: Version) -> list[ProofRow]:
    """Return the answered sessions of a version's proof, by their own items alone.

    Whatever is not settled as right counts as wrong as soon as anybody did not find it right."""
    return [row for row, _score in scored_rows(version)]


def scored_rows(version: Version) -> list[tuple[ProofRow, float]]:
    """Return the answered sessions of a version's proof, each with the probability that the version gave it."""
    doubted = Label.objects.current().filter(item=OuterRef("item")).exclude(answer=Answer.POSITIVE)
    drawn = ProofItem.objects.filter(version=version, draw__stratum=FLAGGED)
    found = drawn.annotate(is_doubted=Exists(doubted)).order_by("pk")
    rows = []
    for chance, host, domain, state, outcome, decision, is_doubted in found.values_list(
        "probability", "host", "domain", "item__state", "item__outcome", "item__decision", "is_doubted"
    ):
        if state == ItemState.SETTLED or is_doubted:
            wrong = state != ItemState.SETTLED or outcome != Answer.POSITIVE
            rows.append((ProofRow(chance, wrong, host, domain), float(decision.get("score", 0.0))))
    return rows


def percent(found: Proof) -> float:
    return floor(1000 * found.precision_bound) / 10


def prove(version: Version) -> Proof | None:
    """Return what may be claimed about a version at its threshold; None before the first answer."""
    return proof.prove(rows_of(version))


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything a page says about a version's proof."""

    version: Version
    proof: Proof | None
    needed: int | None  # further labels until TARGET
    target: float
    drawn: int
    positives: int
    seen: Seen  # the traffic of the window
    false_alerts: FalseAlerts | None
    price: QueuePrice | None  # of one answer in the queue of proof

    @property
    def hours_needed(self) -> float | None:
        """What the labels still needed cost, by the median of one."""
        return self.needed * self.price.median_ms / 3_600_000 if self.needed and self.price else None

    @property
    def hosts_wrong(self) -> float:
        """Share of source hosts with an error: the other unit of the error rate."""
        return self.proof.hosts_wrong / self.proof.hosts if self.proof else 0.0

    @property
    def percent(self) -> float:
        """The bound of precision, rounded down: nothing is claimed that was not shown."""
        return percent(self.proof) if self.proof else 0.0


def figures(version: Version) -> Figures:
    """Return a version's proof with what is still needed and what its false alerts cost. Counts hosts over files."""
    rows = rows_of(version)
    draws = ProofDraw.objects.filter(version=version, stratum=FLAGGED)
    sums = draws.aggregate(positives=Sum("sessions"), drawn=Sum("drawn"))
    seen = boards.seen(version, since=version.training_set.frozen_at)
    found = proof.prove(rows)
    positives = sums["positives"] or 0
    return Figures(
        version=version,
        proof=found,
        needed=proof.labels_needed(rows, TARGET),
        target=TARGET,
        drawn=sums["drawn"] or 0,
        positives=positives,
        seen=seen,
        false_alerts=_false_alerts(found, positives, seen) if found and seen.hosts else None,
        price=price_of(Queue.objects.filter(detector=version.detector_id, kind=Queue.Kind.PROOF).first()),
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """What may be claimed about one version, for a list of them."""

    version: Version
    proof: Proof | None
    needed: int | None

    @property
    def percent(self) -> float:
        return percent(self.proof) if self.proof else 0.0


def claims_of_all() -> list[Claim]:
    """Return what may be claimed about every version that scores, detector by detector."""
    scoring = Version.objects.scoring().exclude(stage=Stage.CANDIDATE).select_related("detector", "training_set")
    answered = [(version, rows_of(version)) for version in scoring.order_by("detector__name", "-number")]
    return [Claim(version, proof.prove(rows), proof.labels_needed(rows, TARGET)) for version, rows in answered]


def _false_alerts(found: Proof, positives: int, seen: Seen) -> FalseAlerts:
    return proof.false_alerts(found, positives=positives, hosts=seen.hosts, days=max(seen.days, SHORTEST))
