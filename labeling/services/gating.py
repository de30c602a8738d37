"""The gate by night: every version that scores, on the reference set as it is now."""

from __future__ import annotations

import structlog
from django.db.utils import InterfaceError, OperationalError

from labeling.services import reference
from models_registry.models import Detector, GateReport, Version
from models_registry.services import gates

log = structlog.get_logger(__name__)


def gate_all() -> int:
    """Freeze a snapshot of every reference set and check the versions that score on it; return the checks made."""
    return sum(_gate(detector) for detector in Detector.objects.all())


def _gate(detector: Detector) -> int:
    reference.grow(detector)
    snapshot = reference.publish_snapshot(detector)
    if not snapshot.rows:
        return 0
    made = 0
    for version in Version.objects.scoring().filter(detector=detector).select_related("detector", "training_set"):
        if GateReport.objects.filter(version=version, threshold=version.threshold, snapshot=snapshot).exists():
            continue
        try:
            gates.run_gate(version, snapshot=snapshot)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # a version whose files are damaged must not hide what the others do
            log.exception("gate.failed", version=str(version))
        else:
            made += 1
    return made
