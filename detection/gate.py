"""May this version leave at this threshold? Checks of (version, threshold, snapshot); a value in, a report out.

The reference check says "0 wrong of n rows" and claims nothing about the world. *Wrong* is a negative row at or above
the threshold, or a lost unique detect: a positive row that no rule hits. Forward rows belong to the proof, not here.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from detection.reference import FORWARD, HOLDOUT, NEGATIVE, POSITIVE, REGRESSION, ROLES
from detection.thresholds import sigmoid

Level = Literal["block", "warn"]


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


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """Stored with every report. Wrong rows and parity mismatches have no limit to set: it is 0."""

    version: int = 1
    fewest_rows_per_class: int = 1
    fewest_parity_rows: int = 1
    most_leaves: int = 20_000  # half of what one core's 2 MB cache holds for a whole bundle
    most_bytes: int = 8 * 2**20

    def __post_init__(self) -> None:
        if min(self.fewest_rows_per_class, self.fewest_parity_rows) < 1:
            raise ValueError("a gate without evidence is no gate: the fewest rows are at least 1")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Check:
    """One question the gate asks. `figure` and `limit` are numbers for machines, `text` is for people."""

    name: str
    passed: bool
    level: Level
    figure: float
    limit: float
    text: str
    rows: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What the gate found. Immutable; its digest names it."""

    subject: str
    threshold: float
    raw_threshold: float
    checks: tuple[Check, ...]
    counts: Mapping[str, Mapping[str, int]]
    policy: GatePolicy
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.level == "block" and not check.passed)

    @property
    def sentence(self) -> str:
        """The answer in one sentence: "http-attacks:2 at 0.71 may leave"."""
        start = f"{self.subject} at {self.threshold:.6g} may"
        if self.passed:
            return f"{start} leave"
        count = len(self.failures)
        return f"{start} not leave: {count} check{'' if count == 1 else 's'} failed"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, finite numbers only: what is stored, shown and digested."""
        return {
            "passed": self.passed,
            "sentence": self.sentence,
            "subject": self.subject,
            "threshold": self.threshold,
            "raw_threshold": self.raw_threshold,
            "checks": [{**asdict(check), "rows": list(check.rows)} for check in self.checks],
            "counts": {role: dict(figures) for role, figures in self.counts.items()},
            "policy": self.policy.to_dict(),
            "digests": dict(sorted(self.digests.items())),
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical report: the same checks on the same rows give the same digest."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()


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
) -> Report:
    """Return the gate report of a version (`subject`, "http-attacks:2") at a threshold on the rows of a snapshot.

    `digests` names what the report rests on (snapshot, ONNX, rule mapping); it goes into the report's own digest."""
    _refuse_nonsense(cases, threshold, raw_threshold)
    judged = sorted((case for case in cases if case.role != FORWARD), key=_order)
    return Report(
        subject=subject,
        threshold=threshold,
        raw_threshold=raw_threshold,
        checks=(
            _reference(judged, raw_threshold),
            _covered(judged, raw_threshold),
            _evidence(judged, policy),
            _parity(parity, policy),
            *_size(size, policy),
        ),
        counts=_counts(cases, raw_threshold),
        policy=policy,
        digests=digests or {},
    )


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


def _reference(judged: Sequence[ReferenceCase], raw_threshold: float) -> Check:
    wrong = [case for case in judged if is_wrong(case, raw_threshold)]
    of_role = {role: sum(case.role == role for case in judged) for role in (REGRESSION, HOLDOUT)}
    roles = ", ".join(f"{role} {count:,}" for role, count in of_role.items())
    text = f"{len(wrong):,} wrong of {len(judged):,} ({roles})"
    return Check("reference", not wrong, "block", len(wrong), 0, text, _listed(wrong))


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
