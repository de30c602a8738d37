"""Our thresholds against a file of test vectors, scalar and batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from detection import vector_check
from detection.adaptive.calibration import Calibration, fit
from detection.adaptive.curves import (
    Curves,
    bin_index,
    organisation_curve,
    raw_threshold,
    raw_thresholds,
    surprise,
    tail,
)
from detection.adaptive.entities import Entities, guarded
from detection.adaptive.policy import Floats, Policy
from detection.vector_check import Case

THRESHOLD = 1e-4  # by bisection
BATCH = 2e-3  # by tables


def main(arguments: Sequence[str]) -> int:
    return vector_check.main("detection.adaptive", cases, arguments)


def cases(vectors: Mapping[str, Any]) -> Iterator[Case]:
    """Yield every number of the file with ours."""
    policy = policy_of(vectors["config"])
    yield Case("lambda_", vectors["lambda_"], policy.decay)
    for one in vectors["bin_index"]:
        place = int(bin_index(one["v"], policy))
        yield Case(f"bin of {one['v']}", one["bin"], place)
        yield Case(f"value of bin {place}", one["representative"], float(policy.representatives[place]))
    for number, one in enumerate(vectors["fit_history"]):
        told = fitted([one["values_oldest_first"]], policy)
        yield Case(f"fit_history[{number}].W", one["W"], float(told.weight[0]))
        yield from _sparse(f"fit_history[{number}].counts", one["counts"], told.counts[0])
    curves = {}
    for name, one in vectors["organisations"].items():
        curves[name] = _curve(one["history"], None, policy)
        yield from _sparse(f"{name}.g", one["g"], curves[name])
    for number, one in enumerate(vectors["org_curve_trim"]):
        yield from _sparse(f"org_curve_trim[{number}].g", one["g"], _curve(one["history"], one["trim"], policy))
    for one in vectors["examples"]:
        yield from _example(one, curves[one["organisation"]], policy)
    for number, one in enumerate(vectors["calibration"]):
        yield from _calibration(f"calibration[{number}]", one, policy)
    for number, one in enumerate(vectors["guards"]):
        got = float(guarded(one["n"], one["T_raw"], one["T_prev"], one["T_cold"], policy))
        yield Case(f"guards[{number}]", one["T"], got)
    yield from _path(vectors["online_path"], curves[vectors["online_path"]["organisation"]], policy)
    for number, one in enumerate(vectors["monotonicity"]):
        found = [_threshold(one[name], curves["quiet"], 0.001, policy) for name in ("history", "raised")]
        for name, got in zip(("threshold_history", "threshold_raised"), found, strict=True):
            yield Case(f"monotonicity[{number}].{name}", one[name], got, THRESHOLD)
        yield Case(f"monotonicity[{number}]", True, found[1] >= found[0])


def policy_of(config: Mapping[str, Any]) -> Policy:
    """Return the policy of a file's constants."""
    return Policy(
        bins=config["n_bins"],
        least=config["v_min"],
        per_octave=config["bins_per_octave"],
        half_life=config["half_life"],
        kappa0=config["kappa0"],
        trim=config["trim"],
        budget=config["budget"],
        calibration_half_life=config["cal_half_life"],
        surprise_width=config["s_width"],
        surprise_bins=config["s_bins"],
        least_tail=config["k_min"],
        least_tail_share=config["zeta_max"],
        hill_low=config["hill_lo"],
        hill_high=config["hill_hi"],
        slew=config["slew"],
        warm=config["warmup"],
        cap=config["cap"],
        floor=config["v_floor"],
    )


def fitted(histories: Sequence[Sequence[float]], policy: Policy) -> Entities:
    """Return entities after their histories, oldest value first, nothing clipped."""
    entities = Entities.fresh(len(histories), 0, dtype=np.float64, policy=policy)
    for row, history in enumerate(histories):
        for period, value in enumerate(history):
            if value > 0:
                entities.add(np.array([row]), period, np.array([value]), clip=False, policy=policy)
        entities.settle(np.array([row]), len(history) - 1, policy)
    return entities


def _curve(history: Sequence[Sequence[float]], trim: float | None, policy: Policy) -> Floats:
    entities = fitted(history, policy)
    return organisation_curve(entities.counts, entities.weight, trim=trim, policy=policy)


def _sparse(where: str, expected: Mapping[str, float], found: Floats) -> Iterator[Case]:
    for place, value in enumerate(np.asarray(found, float).tolist()):
        if value or str(place) in expected:
            yield Case(f"{where}[{place}]", expected.get(str(place), 0.0), value)


def _threshold(history: Sequence[float], g: Floats, q: float, policy: Policy) -> float:
    told = fitted([history], policy)
    return raw_threshold(g, told.counts[0], float(told.weight[0]), q, policy)


def _example(one: Mapping[str, Any], g: Floats, policy: Policy) -> Iterator[Case]:
    where = f"{one['entity']}, {one['organisation']}"
    told = fitted([one["history_oldest_first"]], policy)
    yield Case(f"{where}: W", one["W"], float(told.weight[0]))
    curves = Curves(g[None, :], np.zeros(1, np.int32))
    for q, expected in one["thresholds"].items():
        got = raw_threshold(g, told.counts[0], float(told.weight[0]), float(q), policy)
        yield Case(f"{where}: T at {q}", expected, got, THRESHOLD)
        batch = raw_thresholds(curves, told.counts, told.weight, float(q), policy=policy)
        yield Case(f"{where}: T at {q}, batch", expected, float(batch[0]), BATCH)
    for point in one["tail"]:
        p = tail(g, told.counts[0], told.weight[0], point["v"], policy)
        yield Case(f"{where}: P({point['v']})", point["p"], float(p))
        yield Case(f"{where}: s({point['v']})", point["surprise"], float(surprise(p, policy)))


def _calibration(where: str, one: Mapping[str, Any], policy: Policy) -> Iterator[Case]:
    state = Calibration.fresh(policy)
    for surprises in one["surprises_by_day"]:
        state = state.added(surprises, one["entity_periods_per_day"], policy)
    found = fit(state, one["budget"], policy)
    expected = one["fit"]
    yield Case(f"{where}: mode", expected["mode"], found.mode)
    got = {"zeta_target": found.zeta_target, "s_star": found.s_star, "s_u": found.s_u, "zeta_u": found.zeta_u}
    for name, value in (got | {"hill": found.hill}).items():
        yield Case(f"{where}: {name}", expected[name], value)
    for s, p in one["p_cal"].items():
        yield Case(f"{where}: p({s})", p, float(found.probability(float(s))))
    for s, score in one["score"].items():
        yield Case(f"{where}: score({s})", score, float(found.score(float(s))))
    yield Case(f"{where}: score at the threshold", one["score_at_threshold"], float(found.score(found.s_star)))


def _path(told: Mapping[str, Any], g: Floats, policy: Policy) -> Iterator[Case]:
    """One new entity, its thresholds guarded, its values clipped."""
    q = told["q"]
    cold = raw_threshold(g, np.zeros(policy.bins), 0.0, q, policy)
    yield Case("online_path: T_cold", told["T_cold"], cold, THRESHOLD)
    entity = Entities.fresh(1, 0, dtype=np.float64, policy=policy)
    row = np.array([0])
    for period, one in enumerate(told["steps"]):
        entity.settle(row, period - 1, policy)
        raw = raw_threshold(g, entity.counts[0], float(entity.weight[0]), q, policy)
        entity.threshold[:] = guarded(entity.seen, raw, entity.threshold, cold, policy)
        yield Case(f"online_path[{period}]: T_raw", one["T_raw"], raw, THRESHOLD)
        yield Case(f"online_path[{period}]: T", one["T"], float(entity.threshold[0]), THRESHOLD)
        yield Case(f"online_path[{period}]: alert", one["alert"], bool(one["v"] > entity.threshold[0]))
        if one["v"] > 0:
            entity.add(row, period, np.array([one["v"]]), policy=policy)
