"""May this version leave at this threshold? Checks of (version, threshold, snapshot); a value in, a report out.

The reference check says "0 wrong of n rows" and claims nothing about the world. *Wrong* is a negative row at or above
the threshold, or a lost unique detect: a positive row that no rule hits. Forward rows belong to the proof, not here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from detection.gate_report import Check, GatePolicy, Report
from detection.gate_traffic import ShipFinding, WeekOfTraffic, diff_check, ship_check, traffic_check
from detection.reference import FORWARD, HOLDOUT, NEGATIVE, POSITIVE, REGRESSION, ROLES
from detection.thresholds import sigmoid

NO_TRAFFIC = "no traffic is stored that it could be counted on"
OF_A_CUSTOMER = "customer "  # sensors of complaints are named so, and keys begin with the sensor
NUMBERED = re.compile(r"C-(\d{1,18}) · ")  # how titles of complaints' rows begin
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class ReferenceCase:
    """A row of the snapshot with the raw score the version's ONNX gave it."""

    key: str
    answer: str  # positive / negative
    rule_hit: bool
    role: str
    shape: str
    title: str
    raw: float


@dataclass(frozen=True, slots=True)
class ParityResult:
    """ONNX against the text model it was made of, bit for bit."""

    rows: int
    mismatches: int


@dataclass(frozen=True, slots=True)
class SizeResult:
    """What the version weighs: latency on a shared worker is no judge, leaves and bytes are."""

    leaves: int
    bytes: int


def check(
    cases: Sequence[ReferenceCase],
    *,
    threshold: float,
    raw_threshold: float,
    parity: ParityResult,
    size: SizeResult,
    policy: GatePolicy,
    subject: str = "this version",
    digests: Mapping[str, str] | None = None,
    week: WeekOfTraffic | None = None,
    ship_queries: Sequence[ShipFinding] = (),
    accepted: Mapping[str, str] | None = None,
    proof: Mapping[str, Any] | None = None,
) -> Report:
    """Return the gate report of a version (`subject`, "http-attacks:2") at a threshold on the rows of a snapshot.

    `week` is what it flags of the last week's traffic; without any the report is incomplete. `accepted` are known
    attacks that a senior lets it lose, by key with the reason; `proof` is detection.proof.Proof as a dict.
    `digests` names what the report rests on (snapshot, ONNX, rule mapping); it goes into the report's own digest."""
    _refuse_nonsense(cases, threshold, raw_threshold)
    judged = sorted((case for case in cases if case.role != FORWARD), key=_order)
    return Report(
        subject=subject,
        threshold=threshold,
        raw_threshold=raw_threshold,
        checks=(
            *([traffic_check(week)] if week else []),
            _reference(judged, raw_threshold, accepted or {}),
            _unique(judged, raw_threshold, accepted or {}),
            _covered(judged, raw_threshold),
            _complaints(judged, raw_threshold),
            *(ship_check(found) for found in ship_queries),
            *([diff_check(week.against)] if week and week.against else []),
            *([_proof(proof)] if proof else []),
            _evidence(judged, policy),
            _parity(parity, policy),
            *_size(size, policy),
        ),
        counts=_counts(cases, raw_threshold),
        policy=policy,
        digests=digests or {},
        traffic=week.to_dict() if week else None,
        missing=() if week else (NO_TRAFFIC,),
    )


def is_lost(case: ReferenceCase, raw_threshold: float) -> bool:
    """A known attack that nobody catches any more: no rule hits it, and this version loses it."""
    return case.answer == POSITIVE and not case.rule_hit and not case.raw >= raw_threshold


def is_wrong(case: ReferenceCase, raw_threshold: float) -> bool:
    """A false positive or a lost unique detect; a score that is no number is wrong on any row."""
    if math.isnan(case.raw):
        return True
    if case.answer == NEGATIVE:
        return case.raw >= raw_threshold
    return case.raw < raw_threshold and not case.rule_hit


def is_covered_loss(case: ReferenceCase, raw_threshold: float) -> bool:
    """A known attack that this version loses and a rule still catches."""
    return case.answer == POSITIVE and case.rule_hit and case.raw < raw_threshold


def _reference(judged: Sequence[ReferenceCase], raw_threshold: float, accepted: Mapping[str, str]) -> Check:
    wrong = [
        case
        for case in judged
        if is_wrong(case, raw_threshold) and not (is_lost(case, raw_threshold) and case.key in accepted)
    ]
    text = f"{len(wrong):,} wrong of {len(judged):,} ({', '.join(_by_role(judged, wrong))})"
    return Check("reference", not wrong, "block", len(wrong), 0, text, _listed(wrong))


def _by_role(judged: Sequence[ReferenceCase], wrong: Sequence[ReferenceCase]) -> list[str]:
    """Return "regression 210, hold-out 3 wrong of 1,202"."""
    words = []
    for role in (REGRESSION, HOLDOUT):
        rows, bad = (sum(case.role == role for case in cases) for cases in (judged, wrong))
        words.append(f"{role} {bad:,} wrong of {rows:,}" if bad else f"{role} {rows:,}")
    return words


def _unique(judged: Sequence[ReferenceCase], raw_threshold: float, accepted: Mapping[str, str]) -> Check:
    """Block while a known attack that rules miss is lost and no senior let it go."""
    lost = [case for case in judged if is_lost(case, raw_threshold)]
    known = sum(case.answer == POSITIVE and not case.rule_hit for case in judged)
    left = [case for case in lost if case.key not in accepted]
    text = f"{len(lost):,} of {known:,} attacks that rules miss are lost"
    if len(left) < len(lost):
        text += f", {len(lost) - len(left):,} of them accepted by a senior"
    rows = tuple(row | {"accepted": accepted.get(row["key"], "")} for row in _listed(lost))
    return Check("unique detects", not left, "tell", len(left), 0, text, rows)  # they block among the wrong rows


def _proof(proof: Mapping[str, Any]) -> Check:
    """Say what forward rows show; nobody is held to a bound here."""
    text = (
        f"at least {100 * proof['precision_bound']:.1f} % right, with 95 % confidence ({proof['errors']:,} wrong of "
        f"{proof['labels']:,} labels on {proof['hosts']:,} hosts, forward rows only)"
    )
    return Check("precision", True, "tell", proof["precision_bound"], None, text)


def _complaints(judged: Sequence[ReferenceCase], raw_threshold: float) -> Check:
    """Name the confirmed complaints that this version does not flag; the others are among the wrong rows."""
    confirmed = [case for case in judged if case.answer == NEGATIVE and case.key.startswith(OF_A_CUSTOMER)]
    flagged = [case for case in confirmed if is_wrong(case, raw_threshold)]
    fixed = [case for case in confirmed if not is_wrong(case, raw_threshold)]
    text = f"{len(fixed):,} of {len(confirmed):,} confirmed complaints are fixed"
    text += _named(": ", fixed) + _named("; still flagged: ", flagged)
    return Check("complaints", not flagged, "tell", len(fixed), len(confirmed), text)


def _named(before: str, cases: Sequence[ReferenceCase]) -> str:
    """Return the numbers of complaints, the newest first; their titles begin with it."""
    found = {int(told[1]) for case in cases if (told := NUMBERED.match(case.title))}
    numbers = [f"C-{number}" for number in sorted(found, reverse=True)]
    if not numbers:
        return ""
    more = f" and {len(numbers) - MOST_NAMED:,} more" if len(numbers) > MOST_NAMED else ""
    return before + ", ".join(numbers[:MOST_NAMED]) + more


def _covered(judged: Sequence[ReferenceCase], raw_threshold: float) -> Check:
    lost = [case for case in judged if is_covered_loss(case, raw_threshold)]
    known = sum(case.answer == POSITIVE and case.rule_hit for case in judged)
    text = f"{len(lost):,} of {known:,} attacks that rules cover are lost"
    return Check("covered attacks", not lost, "warn", len(lost), 0, text, _listed(lost))


def _evidence(judged: Sequence[ReferenceCase], policy: GatePolicy) -> Check:
    positive = sum(case.answer == POSITIVE for case in judged)
    negative = len(judged) - positive
    fewest = policy.fewest_rows_per_class
    text = f"{positive:,} positive and {negative:,} negative rows, at least {fewest:,} of each are needed"
    figure = min(positive, negative)
    return Check("evidence", figure >= fewest, "block", figure, fewest, text)


def _parity(parity: ParityResult, policy: GatePolicy) -> Check:
    text = f"{parity.mismatches:,} of {parity.rows:,} raw scores differ from the text model by any bit"
    if parity.rows < policy.fewest_parity_rows:
        text += f"; at least {policy.fewest_parity_rows:,} must be compared"
    passed = parity.mismatches == 0 and parity.rows >= policy.fewest_parity_rows
    return Check("parity", passed, "block", parity.mismatches, 0, text)


def _size(size: SizeResult, policy: GatePolicy) -> tuple[Check, Check]:
    return (
        _at_most("leaves", size.leaves, policy.most_leaves, "leaves"),
        _at_most("bytes", size.bytes, policy.most_bytes, "bytes of ONNX"),
    )


def _at_most(name: str, figure: int, limit: int, unit: str) -> Check:
    return Check(name, figure <= limit, "block", figure, limit, f"{figure:,} {unit}, at most {limit:,}")


def _counts(cases: Sequence[ReferenceCase], raw_threshold: float) -> dict[str, dict[str, int]]:
    """Rows per role; forward rows are counted, never judged."""
    counts: dict[str, dict[str, int]] = {}
    for role in (REGRESSION, HOLDOUT, FORWARD):
        rows = [case for case in cases if case.role == role]
        figures = {answer: sum(case.answer == answer for case in rows) for answer in (POSITIVE, NEGATIVE)}
        if role != FORWARD:
            figures["wrong"] = sum(is_wrong(case, raw_threshold) for case in rows)
            figures["covered_lost"] = sum(is_covered_loss(case, raw_threshold) for case in rows)
        counts[role] = figures
    return counts


def _listed(cases: Sequence[ReferenceCase]) -> tuple[dict[str, Any], ...]:
    return tuple({**asdict(case), "raw": _finite(case.raw), "score": _finite(sigmoid(case.raw))} for case in cases)


def _order(case: ReferenceCase) -> tuple[str, str, str]:
    return case.role, case.key, case.answer


def _refuse_nonsense(cases: Sequence[ReferenceCase], threshold: float, raw_threshold: float) -> None:
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold: expected a probability between 0 and 1, got {threshold}")
    if not math.isclose(sigmoid(raw_threshold), threshold, abs_tol=1e-9):  # a mix-up, not the last bit
        raise ValueError(f"raw threshold {raw_threshold} is not the one of {threshold}")
    for case in cases:
        if case.answer not in (POSITIVE, NEGATIVE) or case.role not in ROLES:
            raise ValueError(f"{case.key}: answer {case.answer!r} as {case.role!r} is no reference row")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
