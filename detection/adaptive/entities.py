"""The state of entities: histograms of their past, and the threshold in force. 176 bytes each, changed in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.adaptive.curves import bin_index
from detection.adaptive.policy import POLICY, Floats, Policy


@dataclass(slots=True)
class Entities:
    """N entities. Rows whose value was 0 are not touched: their decay is due from `last`."""

    counts: Any  # [N, bins], float32 or float64: decayed counts of positive periods
    weight: Any  # [N], same type: decayed number of periods
    seen: NDArray[np.int32]  # [N], number of periods
    threshold: Any  # [N], in force; infinity for the new
    last: NDArray[np.int32]  # [N], period up to which the row is decayed

    @classmethod
    def fresh(cls, number: int, period: int, *, dtype: Any = np.float32, policy: Policy = POLICY) -> Entities:
        """Return entities without history that exist from `period` on."""
        return cls(
            np.zeros((number, policy.bins), dtype),
            np.zeros(number, dtype),
            np.zeros(number, np.int32),
            np.full(number, np.inf, dtype),
            np.full(number, period - 1, np.int32),
        )

    def __len__(self) -> int:
        return len(self.weight)

    def joined(self, others: Entities) -> Entities:
        """Return these and other entities behind them."""
        parts = [np.concatenate([getattr(self, name), getattr(others, name)]) for name in _FIELDS]
        return Entities(*parts)

    def as_of(self, period: int, policy: Policy = POLICY) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Return what counts are to be multiplied with, the weight and the number of periods after `period`."""
        due = np.maximum(period - self.last.astype(np.int64), 0)
        factor: Floats = policy.decay ** due.astype(np.float64)
        weight: Floats = factor * self.weight + (1 - factor) / (1 - policy.decay)
        return factor, weight, self.seen.astype(np.int64) + due

    def miss(self, rows: Any) -> None:
        """Leave a period out for entities whose telemetry did not come: no decay, no step of the slew."""
        self.last[rows] += 1

    def settle(self, rows: Any, period: int, policy: Policy = POLICY) -> None:
        """Write the decay that is due up to `period` into some rows."""
        due = np.maximum(period - self.last[rows].astype(np.int64), 0)
        factor = policy.decay**due
        self.counts[rows] *= factor[:, None].astype(self.counts.dtype)
        self.weight[rows] = factor * self.weight[rows] + (1 - factor) / (1 - policy.decay)
        self.seen[rows] += due.astype(np.int32)
        self.last[rows] = np.maximum(self.last[rows], period)

    def add(self, rows: NDArray[np.int64], period: int, v: Any, *, clip: bool = True, policy: Policy = POLICY) -> None:
        """Take positive values of a period in, once for each row; all others of the period decay when next asked.

        clip: a value enters as large as the threshold at most. Raises ValueError for values that are none."""
        values = np.asarray(v, float)
        refuse_values(values)
        self.settle(rows, period, policy)
        entered = np.minimum(values, self.threshold[rows]) if clip else values
        self.counts[rows, bin_index(entered, policy)] += 1

    def add_late(
        self, row: int, period: int, v: float, now: int, *, missing: bool = True, policy: Policy = POLICY
    ) -> bool:
        """Take a value of an earlier period in; False when it comes too late.

        `now`: the newest period that was taken in. missing: the period did not count yet; otherwise it counted as 0."""
        age = now - period
        if age > policy.late:
            return False
        refuse_values(np.array([v]))
        self.settle(np.array([row]), now, policy)
        share = policy.decay**age
        if missing:
            self.weight[row] += share
            self.seen[row] += 1
        if v > 0:
            self.counts[row, bin_index(min(v, float(self.threshold[row])), policy)] += share
        return True

    # ---- what labels on alerts do

    def take_out(self, row: int, v: float, threshold: float, age: int, policy: Policy = POLICY) -> None:
        """A confirmed alert says nothing of the ordinary: its value leaves the history, its period stays."""
        place = bin_index(min(v, threshold), policy)
        self.counts[row, place] = max(0.0, float(self.counts[row, place]) - policy.decay**age)

    def accept(self, row: int, v: float, threshold: float, age: int, policy: Policy = POLICY) -> None:
        """A false alarm is ordinary here: its value enters whole, and the threshold may follow at once."""
        share = policy.decay**age
        clipped = bin_index(min(v, threshold), policy)
        moved = min(share, float(self.counts[row, clipped]))
        self.counts[row, clipped] -= moved
        self.counts[row, bin_index(v, policy)] += moved
        self.lift([row])

    def lift(self, rows: Any) -> None:
        """Let thresholds step freely once: after a label, a changed budget or floor."""
        self.threshold[rows] = np.inf

    def merge(self, row: int, other: int, period: int, policy: Policy = POLICY) -> None:
        """Add another entity's past to a row; the other one is empty then."""
        both = np.array([row, other])
        self.settle(both, period, policy)
        self.counts[row] += self.counts[other]
        self.weight[row] = max(self.weight[row], self.weight[other])
        self.seen[row] = max(self.seen[row], self.seen[other])
        self.counts[other], self.weight[other], self.seen[other] = 0, 0, 0
        self.threshold[other] = np.inf


_FIELDS = ("counts", "weight", "seen", "threshold", "last")


def refuse_values(v: Floats) -> None:
    good = np.isfinite(v) & (v >= 0)
    if not good.all():
        raise ValueError(f"period value: expected 0 or more, got {v[~good][0]}")


def guarded(seen: Any, raw: Any, before: Any, cold: Any, policy: Policy = POLICY) -> Floats:
    """Return thresholds after slew and cap: nobody raises his own quickly, and what is huge always alerts."""
    before = np.asarray(before, float)
    held = (np.asarray(seen) >= policy.warm) & (before != 0)
    limited = np.where(held, np.minimum(raw, (1 + policy.slew) * before), raw)
    result: Floats = np.minimum(limited, policy.cap * np.asarray(cold, float))
    return result
