"""Many sessions on one core: sorting, features and trees together, against LightGBM on features that lie ready."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.real_model import real_model
from detection.contract import HTTP_1, encode, session_columns
from detection.scoring import features
from detection.sources.suricata import session_row

ROWS, REPEATS, TARGET = 20_000, 5, 1.5


def rows() -> list[dict[str, Any]]:
    model = real_model()
    chosen = np.random.default_rng(2).integers(0, len(model.records), ROWS)
    # each row with a size of its own: none is scored for another that looks the same
    columns = session_columns([session_row(model.records[at]) for at in chosen]) | {"response_bytes": range(ROWS)}
    inputs = encode(HTTP_1, columns)
    ready = features(HTTP_1, inputs)
    predict = lambda: model.booster.predict(ready, raw_score=True, num_threads=1)  # noqa: E731
    ours, theirs = _in_turns(lambda: model.scorer.raw(inputs), predict)
    if (model.scorer.raw(inputs) != predict()).any():
        raise RuntimeError("the scores are others")
    whole, _ = _in_turns(lambda: model.scorer.raw(encode(HTTP_1, columns)), predict)
    against = "Booster.predict on ready features, one thread"
    return [
        _row("batch scoring, sorted by length, features included, us/row", ours, against, theirs, TARGET),
        _row("the same from columns of Python texts, us/row", whole, against, theirs, None),
    ]


def _row(name: str, ours: float, against: str, theirs: float, target: float | None) -> dict[str, Any]:
    ratio = theirs / ours
    wanted = None if target is None else f"{target:g}x"
    holds = target is None or ratio >= target
    sides = {"name": name, "ours": ours, "against": against, "theirs": theirs}
    return sides | {"ratio": ratio, "target": wanted, "holds": holds}


def _in_turns(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """Return the median microseconds a row of both, taken in turns."""
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(REPEATS)]
    first, second = np.median(np.array(times), axis=0) / ROWS * 1e6
    return float(first), float(second)


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
