"""One day of a whole fleet: what each stream still learns, what it is tested with, which incident holds it.

A stream learns 28 periods; then its prior is fitted to the learning of all streams of its group, once, and its phi,
which is fitted anew every week: the smaller of the group's and its own. The counts that tell phi are the last 56 quiet
periods, kept in a ring of each stream."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.divergence.null import fit_prior, mean_over, phi_of
from detection.divergence.policy import POLICY, Counts, Flags, Floats, Policy
from detection.divergence.streams import Looks, Streams, forget, step

Ring = NDArray[np.int32]

_MOST = np.iinfo(np.int32).max  # of a day, in the ring
_CHUNK = 4_096  # streams whose rings are unpacked at once


class Closing(StrEnum):
    """What an incident turned out to be."""

    MODEL_FIXED = "model-fixed"
    NEW_NORMAL = "new-normal"
    HEURISTICS_CHANGED = "heuristics-changed"  # of all streams of the customer
    FALSE_ALARM = "false-alarm"


@dataclass(frozen=True, slots=True)
class Watch:
    """S streams between two days: all that a restart needs. Arrays [S], rings [S, policy.recent]."""

    streams: Streams
    group: Counts  # streams of one group share prior and phi
    given: Flags  # the prior is what the version before showed: learning does not fit another
    learning: Counts  # periods still to learn; 0: tested
    learnt_x: Counts  # plain sums over the learning periods
    learnt_n: Counts
    held: Flags  # an incident is open: the reference learns nothing
    last: Counts  # newest period with a record; -1: none yet
    recent: Counts  # number of quiet periods so far
    recent_x: Ring  # the newest of them, at `recent` modulo the width
    recent_n: Ring

    @classmethod
    def fresh(
        cls, group: Any, *, prior: tuple[Any, Any] | None = None, learning: Any = None, policy: Policy = POLICY
    ) -> Watch:
        """Return streams of which nothing was seen; `prior`: of new versions, see `prior_of_version`."""
        groups = np.atleast_1d(np.asarray(group, np.int64))
        size = len(groups)
        a0, b0 = fit_prior([], [], policy) if prior is None else prior
        periods = policy.learning if learning is None else learning
        return cls(
            streams=Streams.fresh(np.broadcast_to(a0, size), np.broadcast_to(b0, size), policy.phi_unknown),
            group=groups.copy(),
            given=np.full(size, prior is not None),
            learning=np.broadcast_to(np.asarray(periods, np.int64), size).copy(),
            learnt_x=np.zeros(size, np.int64),
            learnt_n=np.zeros(size, np.int64),
            held=np.zeros(size, bool),
            last=np.full(size, -1, np.int64),
            recent=np.zeros(size, np.int64),
            recent_x=np.zeros((size, policy.recent), np.int32),
            recent_n=np.zeros((size, policy.recent), np.int32),
        )

    @classmethod
    def of(cls, columns: dict[str, Any]) -> Watch:
        """Return the streams of such columns."""
        streams = Streams(**{name: columns[name] for name in _STREAMS})
        return cls(streams, **{name: columns[name] for name in _OWN})

    def columns(self) -> dict[str, Any]:
        """Return every array by its name, as files keep them."""
        return {name: getattr(self.streams, name) for name in _STREAMS} | {name: getattr(self, name) for name in _OWN}

    def __len__(self) -> int:
        return len(self.group)

    def take(self, rows: Any) -> Watch:
        return Watch.of({name: values[rows] for name, values in self.columns().items()})

    def put(self, rows: Any, part: Watch) -> Watch:
        """Return the streams with some of them replaced."""
        others = part.columns()
        return Watch.of({name: _replaced(values, rows, others[name]) for name, values in self.columns().items()})

    def joined(self, new: Watch) -> Watch:
        """Return these and other streams behind them."""
        others = new.columns()
        return Watch.of({name: np.concatenate([values, others[name]]) for name, values in self.columns().items()})


_STREAMS = tuple(one.name for one in fields(Streams))
_OWN = tuple(one.name for one in fields(Watch))[1:]


def _replaced(values: Any, rows: Any, others: Any) -> Any:
    result = values.copy()
    result[rows] = others
    return result


# ---- a day


def advance(
    watch: Watch,
    period: int,
    rows: Any,
    x: Any,
    n: Any,
    *,
    between_false_alarms: Any = None,
    refit: bool = True,
    policy: Policy = POLICY,
) -> tuple[Watch, Looks]:
    """Return the streams after a period, and what it said of those with a record.

    rows [K]: streams with a record, each once; the others are left as they are, for a missing record is not a zero.
    x, n [K]: their counts. between_false_alarms: A, of each of them or of all.
    refit: a replay does without, and puts what was `in_force`. Raises ValueError for counts that cannot be, and for a
    period that is not after the newest of a stream."""
    told = np.asarray(rows, np.int64)
    _refuse(watch, period, told)
    learns = watch.learning[told] > 0
    streams, looks = step(
        watch.streams.take(told), period, x, n, learning=learns, frozen=watch.held[told],
        between_false_alarms=between_false_alarms, policy=policy,
    )  # fmt: skip
    successes, trials = np.asarray(x, np.int64), np.asarray(n, np.int64)
    moved = replace(
        _remembered(watch, told, successes, trials, looks.log_statistic < math.log(policy.freeze_at)),
        streams=watch.streams.put(told, streams),
        learning=_replaced(watch.learning, told, watch.learning[told] - learns),
        learnt_x=_replaced(watch.learnt_x, told, watch.learnt_x[told] + learns * successes),
        learnt_n=_replaced(watch.learnt_n, told, watch.learnt_n[told] + learns * trials),
        last=_replaced(watch.last, told, period),
    )
    if refit:
        moved = _fitted(moved, period, told[learns & (moved.learning[told] == 0)], policy)
    return moved, looks


def _refuse(watch: Watch, period: int, rows: Counts) -> None:
    if np.count_nonzero(_flags(len(watch), rows)) != len(rows):
        raise ValueError("a stream has one record a period")
    if (watch.last[rows] >= period).any():
        row = int(rows[watch.last[rows] >= period][0])
        raise ValueError(f"stream {row}: period {period} is not after {watch.last[row]}; replay it")


def _remembered(watch: Watch, rows: Counts, x: Counts, n: Counts, quiet: Flags) -> Watch:
    """Return the streams with the counts of quiet periods in their rings."""
    where, width = rows[quiet], watch.recent_n.shape[1]
    place = watch.recent[where] % width
    recent_x, recent_n = watch.recent_x.copy(), watch.recent_n.copy()
    recent_x[where, place] = np.minimum(x[quiet], _MOST)
    recent_n[where, place] = np.minimum(n[quiet], _MOST)
    recent = _replaced(watch.recent, where, watch.recent[where] + 1)
    return replace(watch, recent=recent, recent_x=recent_x, recent_n=recent_n)


# ---- fits


def _fitted(watch: Watch, period: int, ended: Counts, policy: Policy) -> Watch:
    """Return the streams with the priors and phi of those whose learning ended, and every week with phi of all."""
    if len(ended):
        watch = _with_priors(watch, ended, policy)
    due = watch.learning == 0 if period % policy.refit_every == 0 else _flags(len(watch), ended)
    if not due.any():
        return watch
    groups, member = np.unique(watch.group, return_inverse=True)
    told = (np.bincount(member, due, len(groups)) > 0)[member] & (watch.learning == 0)
    phi = watch.streams.phi.copy()
    phi[due] = _precisions(watch, np.flatnonzero(told), member[told], policy)[due[told]]
    return replace(watch, streams=replace(watch.streams, phi=phi))


def _flags(size: int, rows: Counts) -> Flags:
    flags = np.zeros(size, bool)
    flags[rows] = True
    return flags


def _with_priors(watch: Watch, ended: Counts, policy: Policy) -> Watch:
    a0, b0 = watch.streams.a0.copy(), watch.streams.b0.copy()
    fits = ended[~watch.given[ended]]
    for group in np.unique(watch.group[fits]):
        members = watch.group == group
        prior = fit_prior(watch.learnt_x[members].astype(float), watch.learnt_n[members].astype(float), policy)
        mine = fits[watch.group[fits] == group]
        a0[mine], b0[mine] = prior
    return replace(watch, streams=replace(watch.streams, a0=a0, b0=b0))


def _precisions(watch: Watch, rows: Counts, member: Counts, policy: Policy) -> Floats:
    """Return phi of these streams: that of their group, or their own where enough periods tell a smaller one.

    member [K]: the number of each stream's group."""
    excess, pairs, told = (np.empty(len(rows)) for _ in range(3))
    for begin in range(0, len(rows), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        excess[part], pairs[part], told[part] = _spread(watch, rows[part])
    of_group = phi_of(np.bincount(member, excess), np.bincount(member, pairs), policy)[member]
    own = np.where(told >= policy.own_phi, phi_of(excess, pairs, policy), np.inf)
    result: Floats = np.minimum(of_group, own)
    return result


def _spread(watch: Watch, rows: Counts) -> tuple[Floats, Floats, Floats]:
    """Return of each stream: excess variation, pairs of trials, and how many periods told them."""
    some = watch.recent_n[rows] >= 2
    x = np.where(some, watch.recent_x[rows], 0).astype(float)
    n = np.where(some, watch.recent_n[rows], 0).astype(float)
    sums = x.sum(axis=1), n.sum(axis=1)
    mean = mean_over(watch.streams.a0[rows], watch.streams.b0[rows], *sums)
    of_x, across, of_n = (np.einsum("sp,sp->s", *pair) for pair in ((x, x), (x, n), (n, n)))
    excess = (of_x - 2 * mean * across + mean**2 * of_n) / (mean * (1 - mean)) - sums[1]  # sum (x - n mean)^2 / ... - n
    return excess, of_n - sums[1], some.sum(axis=1).astype(float)


def in_force(watch: Watch, a0: Any, b0: Any, phi: Any) -> Watch:
    """Return the streams with the priors and phi that were in force when a period was first tested, for its replay."""
    a, b, precision = (np.broadcast_to(np.asarray(one, float), len(watch)).copy() for one in (a0, b0, phi))
    return replace(watch, streams=replace(watch.streams, a0=a, b0=b, phi=precision))


# ---- incidents


def hold(watch: Watch, rows: Any) -> Watch:
    """An incident was opened: the reference stands still until it is closed."""
    return replace(watch, held=_replaced(watch.held, rows, True))


def close(watch: Watch, rows: Any, how: Closing, policy: Policy = POLICY) -> Watch:
    """Return the streams after an incident; where the normal is new they learn it from nothing."""
    told = np.asarray(rows, np.int64)
    anew = how in (Closing.NEW_NORMAL, Closing.HEURISTICS_CHANGED)
    begun = replace(
        watch,
        streams=forget(watch.streams, _flags(len(watch), told), reference=anew),
        held=_replaced(watch.held, told, False),
    )
    if not anew:
        return begun
    changes: dict[str, Any] = {
        name: _replaced(getattr(watch, name), told, 0)
        for name in ("learnt_x", "learnt_n", "recent", "recent_x", "recent_n")
    }
    changes["learning"] = _replaced(watch.learning, told, policy.learning)
    changes["given"] = _replaced(watch.given, told, False)
    return replace(begun, **changes)


def silent(watch: Watch, period: int, policy: Policy = POLICY) -> Counts:
    """Return the rows of streams that spoke once, and of which the last periods are missing."""
    return np.flatnonzero((watch.last >= 0) & (period - watch.last >= policy.silent_after))
