"""False alerts a day of hosts at risk at a chosen detection, beside what else people use; budgets; poisoning.

An organisation of ENTITIES people that differ much in how often and how large their days are. After HISTORY days, on
each of TEST days every entity is also imagined with an attack that adds to its day; a method's cut is where it finds so
many of the attacks, and what ordinary days lie above it are its false alerts.

SPOT: Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory", KDD 2017: a generalised Pareto tail above
the 98 % quantile of an entity's own days, here by the method of moments, fitted once a day.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from detection import adaptive
from detection.adaptive import POLICY, Calibration, Entities, Policy

ENTITIES = int(os.environ.get("ETALON_BENCH_ORGANISATION", "2000"))
HISTORY, TEST = 74, 60  # days
DETECTION = (0.5, 0.7, 0.8, 0.9)
BUDGETS = (1.0, 5.0, 20.0)
SEEDS = (1, 2, 3)
Days = Any  # [days, entities]


def rows() -> list[dict[str, Any]]:
    return [*_methods(), *_budgets(), *_poisoning()]


def days(seed: int) -> tuple[Days, Days]:
    """Return ordinary values [HISTORY + TEST, ENTITIES], and what attacks would add on the test days."""
    random = np.random.default_rng(seed)
    often = random.beta(0.5, 6.0, ENTITIES)
    large = random.lognormal(-0.3, 0.9, ENTITIES)
    active = random.random((HISTORY + TEST, ENTITIES)) < often
    values = np.where(active, random.exponential(1.0, active.shape) * large, 0.0)
    return values, random.lognormal(1.4, 0.5, (TEST, ENTITIES))


def _methods() -> list[dict[str, Any]]:
    found: dict[str, list[list[float]]] = {}
    for seed in SEEDS:
        values, attacks = days(seed)
        for name, method in METHODS.items():
            found.setdefault(name, []).append(false_alerts(method, values, attacks))
    mean = {name: np.mean(told, axis=0) for name, told in found.items()}
    return [
        {
            "name": f"hosts at risk, false alerts a day at {share:.0%} detection",
            "ours": float(mean["ours"][index]),
            "against": name,
            "theirs": float(mean[name][index]),
            "ratio": float(mean[name][index] / max(mean["ours"][index], 1e-9)),
            "target": ">= 1" if share <= 0.8 else "",  # above, simpler rules come close (specification, section 12)
            "holds": share > 0.8 or bool(mean["ours"][index] <= mean[name][index]),
        }
        for index, share in enumerate(DETECTION)
        for name in METHODS
        if name != "ours"
    ]


def false_alerts(method: Callable[[Days, Days], tuple[Days, Days]], values: Days, attacks: Days) -> list[float]:
    """Return false alerts a day at each detection; a method gives how unusual ordinary and attacked days are."""
    ordinary, attacked = method(values, attacks)
    cuts = np.quantile(attacked, [1 - share for share in DETECTION], method="lower")
    positive = values[HISTORY:] > 0
    return [float(((ordinary >= cut) & positive).sum() / TEST) for cut in cuts]


def _ours(values: Days, attacks: Days) -> tuple[Days, Days]:
    entities, calibration = Entities.fresh(ENTITIES, 1, dtype=np.float64), Calibration.fresh()
    ordinary, attacked = np.zeros((TEST, ENTITIES)), np.zeros((TEST, ENTITIES))
    for index, day in enumerate(values):
        period = index + 1
        factor, weight, _seen = entities.as_of(period - 1)
        counts = entities.counts * factor[:, None]
        rows = np.flatnonzero(day)
        night = adaptive.night(
            entities, calibration, period, rows, day[rows], budget=5.0, learning=index < POLICY.cold_start
        )
        calibration = night.calibration
        if index >= HISTORY:
            at = index - HISTORY
            g = night.curves.rows[night.curves.member]
            ordinary[at] = -np.log(adaptive.tail(g, counts, weight, day))
            attacked[at] = -np.log(np.maximum(adaptive.tail(g, counts, weight, day + attacks[at]), 1e-300))
    return ordinary, attacked


def _global(values: Days, attacks: Days) -> tuple[Days, Days]:
    return values[HISTORY:], values[HISTORY:] + attacks


def _three_sigma(values: Days, attacks: Days) -> tuple[Days, Days]:
    """Deviations above the own mean; nobody deviates by less than a twentieth of a feature."""
    return _by_history(values, attacks, lambda past, v: (v - past.mean(axis=0)) / np.maximum(past.std(axis=0), 0.05))


def _own_quantile(values: Days, attacks: Days) -> tuple[Days, Days]:
    """How far above the own 99 % quantile."""
    return _by_history(values, attacks, lambda past, v: v / np.maximum(np.quantile(past, 0.99, axis=0), 0.05))


def _spot(values: Days, attacks: Days) -> tuple[Days, Days]:
    return _by_history(values, attacks, _pareto)


def _by_history(values: Days, attacks: Days, unusual: Callable[[Days, Days], Days]) -> tuple[Days, Days]:
    pairs = [
        (unusual(values[:index], values[index]), unusual(values[:index], values[index] + attacks[index - HISTORY]))
        for index in range(HISTORY, HISTORY + TEST)
    ]
    return np.array([one for one, _ in pairs]), np.array([other for _, other in pairs])


def _pareto(past: Days, v: Days) -> Days:
    """Return -ln of the tail probability of each value by its entity's own generalised Pareto tail."""
    base = np.quantile(past, 0.98, axis=0)
    excess = np.where(past > base, past - base, np.nan)
    number = (past > base).sum(axis=0)
    with np.errstate(all="ignore"):
        mean = np.nan_to_num(np.nanmean(np.where(number > 0, excess, 0.0), axis=0), nan=0.05)
        variance = np.nan_to_num(np.nanvar(np.where(number > 0, excess, 0.0), axis=0))
    mean = np.maximum(mean, 0.05)
    ratio = np.where(variance > 0, mean**2 / np.maximum(variance, 1e-12), 1.0)
    shape = np.clip(0.5 * (1 - ratio), -0.4, 0.5)
    scale = np.maximum(mean * (1 - shape), 1e-3)
    above = np.maximum(v - base, 0.0) / scale
    flat = np.abs(shape) < 1e-6
    safe = np.where(flat, 1.0, shape)
    inside = np.maximum(1 + safe * above, 1e-12)
    tail = np.where(flat, above, np.log(inside) / safe)
    below = np.where(v > base, 0.0, v / np.maximum(base, 0.05) - 5)  # in order, under all that is above the quantile
    beyond: Days = tail + np.log(len(past) / np.maximum(number, 1)) + below
    return beyond


METHODS: dict[str, Callable[[Days, Days], tuple[Days, Days]]] = {
    "ours": _ours,
    "one global threshold": _global,
    "mean + k sigma of each": _three_sigma,
    "99 % quantile of each": _own_quantile,
    "SPOT of each": _spot,
}


def _budgets() -> list[dict[str, Any]]:
    """Compare alerts that came with alerts that were wanted."""
    told = []
    for budget in BUDGETS:
        came = float(np.mean([_realised(budget, seed) for seed in SEEDS]))
        told.append(
            {
                "name": "hosts at risk, alerts a day",
                "ours": came,
                "against": "budget",
                "theirs": budget,
                "ratio": came / budget,
                "target": "0.85-1.15",
                "holds": 0.85 <= came / budget <= 1.15,
            }
        )
    return told


def _realised(budget: float, seed: int) -> float:
    values, _attacks = days(seed)
    entities, calibration = Entities.fresh(ENTITIES, 1, dtype=np.float64), Calibration.fresh()
    alerts = 0
    for index, day in enumerate(values):
        rows = np.flatnonzero(day)
        night = adaptive.night(
            entities, calibration, index + 1, rows, day[rows], budget=budget, learning=index < POLICY.cold_start
        )
        calibration = night.calibration
        alerts += len(night.alerts.rows) if index >= HISTORY else 0
    return alerts / TEST


def _poisoning() -> list[dict[str, Any]]:
    """Let one entity behave a little worse each day, just below its threshold, for 60 days."""
    unguarded = Policy(slew=1e9, cap=1e9)
    with_guards, without = _poisoned(POLICY), _poisoned(unguarded)
    return [
        {
            "name": "hosts at risk, growth of a threshold in 60 days of poisoning",
            "ours": with_guards,
            "against": "without guards",
            "theirs": without,
            "ratio": without / with_guards,
            "target": ">= 1",
            "holds": with_guards <= 1.02**60 + 0.01,
        }
    ]


def _poisoned(policy: Policy) -> float:
    values, _attacks = days(1)
    entities, calibration = Entities.fresh(ENTITIES, 1, dtype=np.float64), Calibration.fresh()
    victim, start = int(np.argsort(values[:HISTORY].sum(axis=0))[ENTITIES // 2]), 0.0
    for index, day in enumerate(values):
        today = day.copy()
        if index == HISTORY:
            start = float(entities.threshold[victim])
        if index >= HISTORY:
            today[victim] = max(0.99 * float(entities.threshold[victim]), 0.02)
        rows = np.flatnonzero(today)
        night = adaptive.night(
            entities, calibration, index + 1, rows, today[rows],
            budget=5.0, learning=index < policy.cold_start, policy=policy,
        )  # fmt: skip
        calibration = night.calibration
    return float(entities.threshold[victim]) / start
