"""Streams and their e-CUSUM: U = max(1, U) e_up, D = max(1, D) e_down, S = (U + D) / 2, kept as logarithms.

Dominated by a Shiryaev-Roberts e-detector (Shin and others, "E-detectors", 2023): while nothing changes, S passes A
every A periods at most, in the mean, whenever one looks."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from detection.divergence.evalues import log_e_values, plain
from detection.divergence.null import mean_over
from detection.divergence.policy import DOWN, POLICY, UP, Counts, Flags, Floats, Policy


@dataclass(frozen=True, slots=True)
class Streams:
    """The state of S streams, each array [S]."""

    a0: Floats  # prior
    b0: Floats
    phi: Floats
    x: Floats  # decayed sums of the reference
    n: Floats
    log_up: Floats  # ln U, ln D; minus infinity: nothing tested yet
    log_down: Floats
    up_x: Counts  # plain sums since the change began
    up_n: Counts
    down_x: Counts
    down_n: Counts
    up_since: Counts  # its first period; -1: none
    down_since: Counts

    @classmethod
    def fresh(cls, a0: Any, b0: Any, phi: Any) -> Streams:
        """Return streams of which nothing was seen."""
        start, other, precision = np.broadcast_arrays(*(np.atleast_1d(np.asarray(one, float)) for one in (a0, b0, phi)))
        size = len(start)
        never, empty = np.full(size, -np.inf), np.zeros(size)
        counts = {name: np.zeros(size, np.int64) for name in ("up_x", "up_n", "down_x", "down_n")}
        since = {name: np.full(size, -1, np.int64) for name in ("up_since", "down_since")}
        return cls(
            start.copy(), other.copy(), precision.copy(), empty, empty.copy(), never, never.copy(), **counts, **since
        )

    def __len__(self) -> int:
        return len(self.a0)

    @property
    def mu(self) -> Floats:
        """The reference in force."""
        mean: Floats = mean_over(self.a0, self.b0, self.x, self.n)
        return mean

    @property
    def log_statistic(self) -> Floats:
        """ln S, S = (U + D) / 2."""
        result: Floats = np.logaddexp(self.log_up, self.log_down) - math.log(2)
        return result

    def take(self, rows: Any) -> Streams:
        return Streams(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


@dataclass(frozen=True, slots=True)
class Looks:
    """What one period said about S streams, each array [S]. Where `tested` is false only `mu` and `statistic` speak."""

    mu: Floats  # reference before the period taught it
    tested: Flags
    e_up: Floats
    e_down: Floats
    statistic: Floats
    alarm: Flags
    ticket: Flags
    upward: Flags
    odds_ratio: Floats  # since the change, against mu
    changed_x: Counts
    changed_n: Counts
    since: Counts  # period in which the change began


def step(
    streams: Streams,
    period: int,
    x: Any,
    n: Any,
    *,
    learning: Any = False,
    frozen: Any = False,
    between_false_alarms: Any = None,
    policy: Policy = POLICY,
) -> tuple[Streams, Looks]:
    """Return the streams after a period, and what it said.

    x, n: counts [S]. learning: no test is made. frozen: an open incident, the reference learns nothing.
    between_false_alarms: A, of each stream or of all. Raises ValueError for counts that cannot be."""
    x, n = _checked(x, n, len(streams))
    mu = streams.mu
    tested = ~np.broadcast_to(learning, n.shape) & (streams.a0 + streams.b0 + streams.n >= policy.least_reference)
    tested &= n > 0
    log_e_up, log_e_down = np.zeros(len(n)), np.zeros(len(n))
    scaled, trials = _scaled(x[tested], n[tested], policy.most_trials)
    log_e_up[tested], log_e_down[tested] = log_e_values(scaled, trials, mu[tested], streams.phi[tested], policy)
    moved = _move(streams, period, x, n, tested, log_e_up, log_e_down)
    log_statistic = moved.log_statistic
    needed = policy.between_false_alarms if between_false_alarms is None else between_false_alarms
    alarm = tested & (log_statistic >= np.log(needed))
    looks = _looks(moved, mu, tested, log_e_up, log_e_down, log_statistic, alarm, policy)
    learns = (log_statistic < math.log(policy.freeze_at)) & ~np.broadcast_to(frozen, n.shape)
    decay = 0.5 ** (1 / policy.half_life)
    return (
        replace(
            moved,
            x=np.where(learns, decay * streams.x + x, streams.x),
            n=np.where(learns, decay * streams.n + n, streams.n),
        ),
        looks,
    )


def _checked(x: Any, n: Any, size: int) -> tuple[Counts, Counts]:
    pair = []
    for name, values in (("x", x), ("n", n)):
        counts = np.atleast_1d(np.asarray(values))
        if counts.shape != (size,):
            raise ValueError(f"{name}: expected {size} counts, got shape {counts.shape}")
        if not np.issubdtype(counts.dtype, np.integer):
            raise ValueError(f"{name}: counts are whole numbers, got {counts.dtype}")
        pair.append(counts.astype(np.int64))
    successes, trials = pair
    if (successes < 0).any() or (successes > trials).any():
        place = int(np.flatnonzero((successes < 0) | (successes > trials))[0])
        raise ValueError(f"stream {place}: {successes[place]} of {trials[place]} cannot be")
    return successes, trials


def _scaled(x: Counts, n: Counts, most: int) -> tuple[Floats, Floats]:
    """Return counts of at most so many trials, halves to even: tiny but certain shifts must not dominate."""
    large = n > most
    share = np.divide(x * float(most), n, out=np.zeros(len(n)), where=n > 0)
    return np.where(large, np.rint(share), x).astype(float), np.where(large, most, n).astype(float)


def _move(
    streams: Streams, period: int, x: Counts, n: Counts, tested: Flags, log_e_up: Floats, log_e_down: Floats
) -> Streams:
    """Return the streams with statistics and sums since the change; a side at 1 or below begins anew."""
    moved: dict[str, Any] = {}
    for side, log_e in ((UP, log_e_up), (DOWN, log_e_down)):
        log = getattr(streams, f"log_{side}")
        anew = tested & (log <= 0)
        for count, values in (("x", x), ("n", n)):
            before = getattr(streams, f"{side}_{count}")
            moved[f"{side}_{count}"] = np.where(tested, np.where(anew, 0, before) + values, before)
        moved[f"{side}_since"] = np.where(anew, period, getattr(streams, f"{side}_since"))
        moved[f"log_{side}"] = np.where(tested, np.maximum(log, 0) + log_e, log)
    return replace(streams, **moved)


def _looks(
    moved: Streams,
    mu: Floats,
    tested: Flags,
    log_e_up: Floats,
    log_e_down: Floats,
    log_statistic: Floats,
    alarm: Flags,
    policy: Policy,
) -> Looks:
    upward = moved.log_up >= moved.log_down
    changed_x = np.where(upward, moved.up_x, moved.down_x)
    changed_n = np.where(upward, moved.up_n, moved.down_n)
    share = (changed_x + 0.5) / (changed_n + 1)
    odds_ratio = share / (1 - share) * (1 - mu) / mu
    effect = np.where(upward, odds_ratio, 1 / odds_ratio)
    return Looks(
        mu=mu,
        tested=tested,
        e_up=plain(log_e_up),
        e_down=plain(log_e_down),
        statistic=plain(log_statistic),
        alarm=alarm,
        ticket=alarm & (changed_n >= policy.least_trials) & (effect >= policy.least_effect),
        upward=upward,
        odds_ratio=odds_ratio,
        changed_x=changed_x,
        changed_n=changed_n,
        since=np.where(upward, moved.up_since, moved.down_since),
    )


def forget(streams: Streams, rows: Flags, *, reference: bool = False) -> Streams:
    """Return streams of which some begin anew after an incident: U = D = 0; with `reference`, X = N = 0 as well."""
    changes: dict[str, Any] = {name: np.where(rows, -np.inf, getattr(streams, name)) for name in ("log_up", "log_down")}
    for name in ("up_x", "up_n", "down_x", "down_n"):
        changes[name] = np.where(rows, 0, getattr(streams, name))
    for name in ("up_since", "down_since"):
        changes[name] = np.where(rows, -1, getattr(streams, name))
    if reference:
        changes |= {name: np.where(rows, 0.0, getattr(streams, name)) for name in ("x", "n")}
    return replace(streams, **changes)
