"""Versions with the gate reports that a change of stage asks for, without files."""

from __future__ import annotations

from typing import Any

from models_registry.models import GateReport, Snapshot, Version
from models_registry.services import gates
from tests import factories


def gated(version: Version, *, passed: bool = True, snapshot: Snapshot | None = None) -> GateReport:
    """Let the gate have spoken about a version at its threshold on a snapshot, a new one by default."""
    snapshot = snapshot or factories.make_snapshot(detector=version.detector)
    report: dict[str, Any] = {
        "passed": passed,
        "sentence": f"{version} may {'' if passed else 'not '}leave",
        "checks": [],
        "counts": {},
        "digests": gates._digests(version, version.threshold, snapshot),
    }
    return factories.make_gate_report(version=version, snapshot=snapshot, passed=passed, report=report)
