"""Our divergence statistics against a file of test vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from detection import vector_check
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
from detection.vector_check import Case


def main(arguments: Sequence[str]) -> int:
    return vector_check.main("detection.divergence", cases, arguments)


def cases(vectors: Mapping[str, Any]) -> Iterator[Case]:
    """Yield every number of the file with ours."""
    policy = policy_of(vectors["config"])
    for number, one in enumerate(vectors["log_beta_binomial"]):
        log_pmf = log_beta_binomial(*(np.asarray(one[name], float) for name in ("x", "n", "a", "b")))
        yield Case(f"log_beta_binomial[{number}]", one["log_pmf"], float(log_pmf))
    for number, one in enumerate(vectors["odds_shift"]):
        yield Case(f"odds_shift[{number}]", one["mu_shifted"], odds_shift(one["mu"], one["odds_ratio"]))
    for number, one in enumerate(vectors["fit_fleet"]):
        for name, got in zip(("a0", "b0"), fit_prior(one["X"], one["N"], policy), strict=True):
            yield Case(f"fit_fleet[{number}].{name}", one[name], got)
    for number, one in enumerate(vectors["fit_phi"]):
        yield Case(f"fit_phi[{number}]", one["phi"], fit_phi(one["x"], one["n"], one["mu"], policy))
    for number, one in enumerate(vectors["e_values"]):
        scale = min(1.0, policy.most_trials / one["n"]) if one["n"] else 1.0
        x, n = (round(one["x"] * scale), min(one["n"], policy.most_trials))
        logs = log_e_values(x, n, one["mu"], one["phi"], policy)
        for name, log in zip(("e_up", "e_down"), logs, strict=True):
            yield Case(f"e_values[{number}].{name}", one[name], float(plain(log)))
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
            yield Case(f"{where}: {name}", told.get(name), got.get(name))
    yield Case(f"{stream['name']}: final_X", stream["final_X"], float(state.x[0]))
    yield Case(f"{stream['name']}: final_N", stream["final_N"], float(state.n[0]))
