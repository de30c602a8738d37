"""Missed share: a blind random sample of what a version let pass, in the same queue as its proof."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
from django.db.models import Exists, OuterRef, Sum
from numpy.typing import NDArray

from detection import missed, sampling
from detection.missed import MissedRow, MissedShare, Stratum
from labeling.models import Answer, ItemState, Label, ProofDraw, ProofItem
from labeling.services import proofs
from labeling.services.proofs import FLAGGED, Drawn
from models_registry.models import ScoreFile, Version
from models_registry.services.scoring import read_scores
from traffic.services import segments

DAY = 86_400_000_000  # microseconds
EPOCH = date(1970, 1, 1)


def draw(file: ScoreFile) -> list[Drawn]:
    """Draw from the negatives of a score file that are later than the version's training freeze, by day and stratum.

    The probabilities are decided once and stored: drawing again gives the same sessions."""
    frozen_at = file.version.training_set.frozen_at
    last_at = file.segment.last_at
    if not proofs.POLICY.missed_target or last_at is None or last_at <= frozen_at:
        return []
    scores = read_scores(file, columns=["raw", "verdict", "rules", "cell"])
    starts = segments.read_sessions(file.segment, columns=["start"])["start"].cast(pa.int64()).to_numpy()
    passed = np.flatnonzero(~scores["verdict"].to_numpy() & (starts > frozen_at.timestamp() * 1e6))
    days = starts[passed] // DAY
    entered: dict[int, ProofDraw] = {}
    for number in np.unique(days).tolist():
        rows = passed[days == number]
        entered |= _of_day(file, EPOCH + timedelta(days=number), rows, scores)
    return proofs.read_drawn(file, entered, scores)


def _of_day(file: ScoreFile, day: date, rows: NDArray[np.intp], scores: pa.Table) -> dict[int, ProofDraw]:
    raw, rules = (scores[name].to_numpy()[rows] for name in ("raw", "rules"))
    entered: dict[int, ProofDraw] = {}
    for name, inside in sampling.strata(raw, rules, file.threshold).items():
        scope = f"{proofs.scope(file.version, day)}|{name}|{file.segment.digest}"
        lots = partial(sampling.draw_many, proofs.secret(), scope, int(inside.sum()))
        made, enters = proofs.stored_draw(file, day, name, int(inside.sum()), lots)
        entered |= dict.fromkeys(rows[inside][enters].tolist(), made)
    return entered


def share(version: Version) -> MissedShare | None:
    """Return what the answers show of what a version lets pass; None before the first one."""
    rows = _rows(version)
    counted = ProofDraw.objects.filter(version=version).exclude(stratum=FLAGGED).values("stratum")
    sums = counted.annotate(sum=Sum("sessions")).order_by("stratum").values_list("stratum", "sum")
    return missed.missed_share([Stratum(name, sessions, rows[name]) for name, sessions in sums])


def _rows(version: Version) -> dict[str, list[MissedRow]]:
    """Return the answered sessions by stratum.

    Whatever is not settled is undecided as soon as anybody did not find it clean, and not counted before."""
    doubted = Label.objects.current().filter(item=OuterRef("item")).exclude(answer=Answer.NEGATIVE)
    drawn = ProofItem.objects.filter(version=version).exclude(draw__stratum=FLAGGED)
    found = drawn.annotate(is_doubted=Exists(doubted)).order_by("pk")
    rows: dict[str, list[MissedRow]] = defaultdict(list)
    for name, chance, host, domain, state, outcome, is_doubted in found.values_list(
        "draw__stratum", "probability", "host", "domain", "item__state", "item__outcome", "is_doubted"
    ):
        settled = state == ItemState.SETTLED
        if settled or is_doubted:
            is_missed = settled and outcome == Answer.POSITIVE
            undecided = not settled or outcome not in (Answer.POSITIVE, Answer.NEGATIVE)
            rows[name].append(MissedRow(chance, is_missed, undecided, host, domain))
    return rows
