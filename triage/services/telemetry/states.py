"""One period of streams, from rows to rows: the row of a period holds all that the next period needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from django.db.models import Count, Q, QuerySet

from detection.divergence import POLICY, Looks, Streams, forget, step
from triage.models import Stream, StreamDay, StreamRestart

KINDS = (Stream.Kind.EXCESS, Stream.Kind.MISS)


def successes_and_trials(kind: str, model_only: Any, heuristic_only: Any, both: Any) -> tuple[Any, Any]:
    """Return x and n of a kind from the cells of a day; numbers or arrays of them."""
    if kind == Stream.Kind.EXCESS:
        return model_only, model_only + both + heuristic_only
    return heuristic_only, heuristic_only + both


def totals(rows: QuerySet[StreamDay]) -> dict[str, int]:
    """Return how many periods there are, were tested and are in alarm."""
    return rows.aggregate(
        streams=Count("pk"), tested=Count("pk", filter=Q(is_tested=True)), alarms=Count("pk", filter=Q(is_alarm=True))
    )


@dataclass(frozen=True, slots=True)
class Head:
    """Where one stream stands after a period: its newest row, and its restarts."""

    row: StreamDay | None
    learned: int  # periods since learning began
    forgets: bool  # U = D = 0 before the next period
    relearns: bool  # X = N = 0 as well
    learnt_anew: bool  # it began to learn anew at some time before
    will_learn_anew: bool  # it does so later, and this is a replay

    def learning_of(self, stream: Stream) -> int:
        """Return how many periods the stream learns."""
        return POLICY.learning if self.learnt_anew else stream.learning

    def learns(self, stream: Stream) -> bool:
        return self.learned < self.learning_of(stream)

    def has_learnt(self, stream: Stream) -> bool:
        """Whether the stream is to get its prior and precision now."""
        return not (stream.is_fitted or self.learns(stream) or self.will_learn_anew)


def head(row: StreamDay | None, restarts: Sequence[StreamRestart], before: date) -> Head:
    """Return where a stream stands before a day. `restarts`: of the stream, any of them."""
    since = row.day if row else date.min
    mine = [one for one in restarts if since <= one.after < before]
    relearns = any(one.reference for one in mine)
    anew = [one.after < before for one in restarts if one.reference]
    learned = 0 if relearns or row is None else row.learned
    return Head(row, learned, bool(mine), relearns, any(anew), not all(anew))


def stepped(
    streams: Sequence[Stream],
    heads: Sequence[Head],
    old: Mapping[int, StreamDay],
    day: date,
    x: Any,
    n: Any,
    frozen: Sequence[bool],
    needed: float,
) -> list[StreamDay]:
    """Return a period of streams as rows. `old`: what was written of it before, by stream; `needed`: A."""
    learning = [head.learns(stream) for stream, head in zip(streams, heads, strict=True)]
    given = [_in_force(one, old.get(one.pk), learns) for one, learns in zip(streams, learning, strict=True)]
    before = arrays(heads, *np.array(given, float).T)
    after, looks = step(
        before,
        day.toordinal(),
        x,
        n,
        learning=np.array(learning, bool),
        frozen=np.array(frozen, bool),
        between_false_alarms=needed,
    )
    return _rows_of(streams, heads, day, (x, n), before, after, looks, learning, frozen)


def arrays(heads: Sequence[Head], a0: Any, b0: Any, phi: Any) -> Streams:
    """Return the state of streams before a period, with prior and precision that are in force in it."""
    rows = [one.row for one in heads]
    found = Streams.fresh(a0, b0, phi)
    found = replace(
        found,
        x=_floats(rows, "ref_x", 0.0),
        n=_floats(rows, "ref_n", 0.0),
        log_up=_floats(rows, "log_up", -np.inf),
        log_down=_floats(rows, "log_down", -np.inf),
        up_since=_days(rows, "up_since"),
        down_since=_days(rows, "down_since"),
        up_x=_counts(rows, "up_x"),
        up_n=_counts(rows, "up_n"),
        down_x=_counts(rows, "down_x"),
        down_n=_counts(rows, "down_n"),
    )
    forgets = np.array([one.forgets for one in heads], bool)
    relearns = np.array([one.relearns for one in heads], bool)
    return forget(forget(found, forgets), relearns, reference=True)


def _floats(rows: Sequence[StreamDay | None], name: str, otherwise: float) -> Any:
    values = (getattr(row, name) if row else None for row in rows)
    return np.array([otherwise if value is None else value for value in values], float)


def _counts(rows: Sequence[StreamDay | None], name: str) -> Any:
    return np.array([getattr(row, name) if row else 0 for row in rows], np.int64)


def _days(rows: Sequence[StreamDay | None], name: str) -> Any:
    values = (getattr(row, name) if row else None for row in rows)
    return np.array([value.toordinal() if value else -1 for value in values], np.int64)


def _rows_of(
    streams: Sequence[Stream],
    heads: Sequence[Head],
    day: date,
    counts: Any,
    before: Streams,
    after: Streams,
    looks: Looks,
    learning: Sequence[bool],
    frozen: Sequence[bool],
) -> list[StreamDay]:
    x, n = (column.tolist() for column in counts)
    state = {name: getattr(after, name).tolist() for name in _STATE}
    said = {name: getattr(looks, name).tolist() for name in _SAID}
    a0, b0, phi = before.a0.tolist(), before.b0.tolist(), before.phi.tolist()
    return [
        StreamDay(
            stream=stream,
            day=day,
            learned=heads[at].learned + 1,
            x=x[at],
            n=n[at],
            is_learning=learning[at],
            is_tested=said["tested"][at],
            is_frozen=frozen[at],
            a0=a0[at],
            b0=b0[at],
            phi=phi[at],
            mu=said["mu"][at],
            statistic=said["statistic"][at],
            is_alarm=said["alarm"][at],
            is_ticket=said["ticket"][at],
            is_up=said["upward"][at],
            odds_ratio=_finite(said["odds_ratio"][at]) if said["tested"][at] else None,
            changed_x=said["changed_x"][at] if said["tested"][at] else 0,
            changed_n=said["changed_n"][at] if said["tested"][at] else 0,
            since=_day(said["since"][at]) if said["tested"][at] else None,
            ref_x=state["x"][at],
            ref_n=state["n"][at],
            log_up=_finite(state["log_up"][at]),
            log_down=_finite(state["log_down"][at]),
            up_x=state["up_x"][at],
            up_n=state["up_n"][at],
            down_x=state["down_x"][at],
            down_n=state["down_n"][at],
            up_since=_day(state["up_since"][at]),
            down_since=_day(state["down_since"][at]),
        )
        for at, stream in enumerate(streams)
    ]


_STATE = ("x", "n", "log_up", "log_down", "up_x", "up_n", "down_x", "down_n", "up_since", "down_since")
_SAID = ("tested", "mu", "statistic", "alarm", "ticket", "upward", "odds_ratio", "changed_x", "changed_n", "since")


def _in_force(stream: Stream, old: StreamDay | None, learns: bool) -> tuple[float, float, float]:
    """Return prior and precision of a period: as they were when it was stepped first, else what is in force now."""
    if old is not None and (learns or not old.is_learning):
        return old.a0, old.b0, old.phi
    return stream.a0, stream.b0, stream.phi


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _day(ordinal: int) -> date | None:
    return date.fromordinal(ordinal) if ordinal > 0 else None
