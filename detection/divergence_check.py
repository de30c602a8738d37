"""`python -m detection.divergence check FILE`: compare with test vectors of the divergence statistics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detection.divergence import (
    POLICY,
    Policy,
    Streams,
    fit_phi,
    fit_prior,
    log_beta_binomial,
    log_e_values,
    odds_shift,
    plain,
    step,
)

TOLERANCE = 1e-6  # relative; absolute where 0 is expected
Case = tuple[str, Any, Any]  # where, expected, found; None: must not be produced
USAGE = "usage: python -m detection.divergence check FILE"


def main(arguments: Sequence[str]) -> int:
    """Print cases, mismatches and the largest relative error; return 1 on any mismatch."""
    if len(arguments) != 2 or arguments[0] != "check":
        print(USAGE)  # noqa: T201
        return 2
    try:
        vectors = json.loads(Path(arguments[1]).read_text(encoding="utf-8"))
        found = list(cases(vectors))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{arguments[1]}: {type(error).__name__}: {error}")  # noqa: T201
        return 2
    wrong = [case for case in found if error_of(case) > TOLERANCE]
    for where, expected, got in wrong[:20]:
        print(f"{where}: expected {expected}, got {got}")  # noqa: T201
    largest = max((error_of(case) for case in found), default=0.0)
    print(f"cases {len(found)}, mismatches {len(wrong)}, largest relative error {largest:.3g}")  # noqa: T201
    return 1 if wrong or not found else 0


def error_of(case: Case) -> float:
    """Return the relative error of a case; infinity where anything else differs."""
    _, expected, got = case
    if isinstance(expected, bool | str) or expected is None or got is None:
        return 0.0 if expected == got else float("inf")
    return float(abs(got - expected) / (abs(expected) or 1.0))


def cases(vectors: Mapping[str, Any]) -> Iterator[Case]:
    """Yield every number of the file with ours."""
    policy = policy_of(vectors["config"])
    for number, one in enumerate(vectors["log_beta_binomial"]):
        log_pmf = log_beta_binomial(*(np.asarray(one[name], float) for name in ("x", "n", "a", "b")))
        yield f"log_beta_binomial[{number}]", one["log_pmf"], float(log_pmf)
    for number, one in enumerate(vectors["odds_shift"]):
        yield f"odds_shift[{number}]", one["mu_shifted"], odds_shift(one["mu"], one["odds_ratio"])
    for number, one in enumerate(vectors["fit_fleet"]):
        for name, got in zip(("a0", "b0"), fit_prior(one["X"], one["N"], policy), strict=True):
            yield f"fit_fleet[{number}].{name}", one[name], got
    for number, one in enumerate(vectors["fit_phi"]):
        yield f"fit_phi[{number}]", one["phi"], fit_phi(one["x"], one["n"], one["mu"], policy)
    for number, one in enumerate(vectors["e_values"]):
        scale = min(1.0, policy.most_trials / one["n"]) if one["n"] else 1.0
        x, n = (round(one["x"] * scale), min(one["n"], policy.most_trials))
        logs = log_e_values(x, n, one["mu"], one["phi"], policy)
        for name, log in zip(("e_up", "e_down"), logs, strict=True):
            yield f"e_values[{number}].{name}", one[name], float(plain(log))
    for stream in vectors["streams"]:
        yield from _stream_cases(stream, policy)


def policy_of(config: Mapping[str, Any]) -> Policy:
    """Return the policy of a file's constants."""
    return Policy(
        delta=config["delta"],
        ratios=tuple(config["ratios"]),
        between_false_alarms=config["days_between_false_alarms"],
        prior_cap=config["prior_cap"],
        phi_low=config["phi_lo"],
        phi_high=config["phi_hi"],
        half_life=config["ref_half_life"],
        freeze_at=config["freeze_at"],
        least_reference=config["min_ref"],
        least_trials=config["min_ticket"],
        least_effect=config["min_effect"],
        most_trials=config["n_cap"],
        phi_unknown=POLICY.phi_unknown,
    )


def _stream_cases(stream: Mapping[str, Any], policy: Policy) -> Iterator[Case]:
    state = Streams.fresh(stream["a0"], stream["b0"], stream["phi"])
    for told in stream["steps"]:
        where = f"{stream['name']}, day {told['day']}"
        state, look = step(state, told["day"], [told["x"]], [told["n"]], learning=told["learn_only"], policy=policy)
        got: dict[str, Any] = {
            "mu": float(look.mu[0]),
            "up": float(plain(state.log_up)[0]),
            "down": float(plain(state.log_down)[0]),
            "stat": float(look.statistic[0]),
            "alarm": bool(look.alarm[0]),
            "ticket": bool(look.ticket[0]),
        }
        if look.tested[0]:
            got |= {"e_up": float(look.e_up[0]), "e_down": float(look.e_down[0])}
        if look.alarm[0]:
            got |= {
                "direction": "up" if look.upward[0] else "down",
                "odds_ratio": float(look.odds_ratio[0]),
                "seg_x": int(look.changed_x[0]),
                "seg_n": int(look.changed_n[0]),
            }
        for name in sorted({*got, *told} - {"day", "x", "n", "learn_only"}):
            yield f"{where}: {name}", told.get(name), got.get(name)
    yield f"{stream['name']}: final_X", stream["final_X"], float(state.x[0])
    yield f"{stream['name']}: final_N", stream["final_N"], float(state.n[0])
