"""The gate on the reference set as it is now: by night for every version that scores, and when somebody asks."""

from __future__ import annotations

from typing import Any

import structlog
from django.db.utils import InterfaceError, OperationalError
from django.utils.translation import gettext_noop

from accounts.models import User
from jobs.models import Job
from jobs.services import jobs
from jobs.services.jobs import Lease
from labeling.services import proofs, reference
from models_registry.models import Detector, GateReport, Version
from models_registry.services import gates

TASK = "labeling.tasks.gate_version"
KIND = gettext_noop("gate")
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
        asked = GateReport.objects.filter(version=version, threshold=version.threshold, snapshot=snapshot)
        if (newest := asked.order_by("-id").first()) and gates.is_current(newest):
            continue
        try:
            hand_down(version)
            gates.run_gate(version, snapshot=snapshot)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # a version whose files are damaged must not hide what the others do
            log.exception("gate.failed", version=str(version))
        else:
            made += 1
    return made


def hand_down(version: Version) -> None:
    """Tell the store what the proof of a version shows now: gate reports quote it."""
    if found := proofs.prove(version):
        gates.claim(version, found.to_dict())


def start(version: Version, threshold: float, by: User | None = None) -> Job:
    """Ask the gate about one version at a threshold; while a job is at it that one is meant."""
    arguments = {"version": version.pk, "threshold": threshold}
    return jobs.start(TASK, f"gate {version} {threshold!r}", arguments, kind=KIND, queue="training", by=by)


def gate(lease: Lease) -> dict[str, Any]:
    """Do what a job of `start` asks."""
    told = lease.job.arguments
    version = Version.objects.select_related("detector", "training_set").get(pk=told["version"])
    reference.grow(version.detector)
    snapshot = reference.publish_snapshot(version.detector)
    hand_down(version)
    report = gates.run_gate(version, told["threshold"], snapshot)
    sentence = str(report.report["sentence"])
    lease.say(sentence)
    links = [
        jobs.link(sentence, "models_registry:gate", report.pk),
        jobs.link(str(version), "models_registry:version", version.detector.name, version.number),
    ]
    return {"version": str(version), "gate": {"passed": report.passed, "sentence": sentence}, "links": links}
