"""A gate report: the checks of (version, threshold, snapshot), passed or failed, and the digest that names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["block", "warn", "tell"]  # who tells judges nothing


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """Stored with every report. Wrong rows and parity mismatches have no limit to set: it is 0."""

    version: int = 2
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
    limit: float | None
    text: str
    rows: tuple[dict[str, Any], ...] = ()
    asked: str = ""  # the filter that opens the rows behind the figure in a hunt


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
    traffic: Mapping[str, Any] | None = None  # gate_traffic.WeekOfTraffic as a dict
    missing: tuple[str, ...] = ()  # what nobody could look at: the report is incomplete

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
            "traffic": dict(self.traffic) if self.traffic else None,
            "missing": list(self.missing),
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical report: the same checks on the same rows give the same digest."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()
