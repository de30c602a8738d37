"""`python manage.py retrain DETECTOR [--json]`: grow the reference set, train a candidate, ask the gate."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from labeling.services import reference
from models_registry.models import Detector, GateReport, Snapshot, TrainingSet, Version
from models_registry.services import gates, training


class Command(BaseCommand):
    help = "Freeze a training set, train the detector's next version and check it on the newest reference snapshot."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("detector", help="its name")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        detector = Detector.objects.filter(name=options["detector"]).first()
        if detector is None:
            known = ", ".join(Detector.objects.values_list("name", flat=True)) or "none yet: make_detector"
            raise CommandError(f"There is no detector {options['detector']!r}. Known: {known}.")
        admitted = reference.grow(detector)
        snapshot = reference.publish_snapshot(detector)
        training_set = reference.publish_training_set(detector)
        try:
            version = training.train_version(training_set)
        except ValueError as error:
            raise CommandError(f"{detector} cannot be trained on {training_set}: {error}") from error
        gate = _gate(version, snapshot)
        report = _report(admitted, snapshot, training_set, version, gate)
        if options["json"]:
            self.stdout.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
            return
        self._tell(report)

    def _tell(self, report: dict[str, Any]) -> None:
        rows, gate = report["training_set"], report["gate"]
        self.stdout.write(f"reference set: {report['admitted']} admitted, {report['snapshot']['rows']} rows")
        self.stdout.write(f"training set {rows['number']}: {rows['rows']} rows {rows['counts']} {rows['digest'][:12]}")
        self.stdout.write(f"{report['version']} is {report['stage']}, proposed threshold {report['threshold']:.6f}")
        self.stdout.write(gate["sentence"])


def _gate(version: Version, snapshot: Snapshot) -> GateReport | gates.NothingToCheck:
    try:
        return gates.run_gate(version, snapshot=snapshot)
    except gates.NothingToCheck as nothing:
        return nothing


def _report(
    admitted: int,
    snapshot: Snapshot,
    training_set: TrainingSet,
    version: Version,
    gate: GateReport | gates.NothingToCheck,
) -> dict[str, Any]:
    return {
        "detector": version.detector.name,
        "admitted": admitted,
        "snapshot": {"number": snapshot.number, "rows": snapshot.rows, "digest": snapshot.digest},
        "training_set": {
            "number": training_set.number,
            "rows": training_set.rows,
            "counts": training_set.counts,
            "digest": training_set.digest,
        },
        "version": str(version),
        "stage": version.stage,
        "threshold": version.threshold,
        "training": version.report,
        "gate": gate.report if isinstance(gate, GateReport) else {"passed": False, "sentence": str(gate)},
    }
