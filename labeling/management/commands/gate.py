"""`python manage.py gate DETECTOR VERSION [--threshold T] [--json]`: may this version leave? Exit code 1: no."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from labeling.services import gating, reference
from models_registry.models import Version
from models_registry.services import gates


class Command(BaseCommand):
    help = "Check a version at a threshold on the newest reference snapshot and keep the report."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("detector", help="its name")
        parser.add_argument("number", type=int, metavar="version", help="number of the version")
        parser.add_argument("--threshold", type=float, help="probability; the version's own without it")
        parser.add_argument("--json", action="store_true", help="print the report as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        version = _version(options["detector"], options["number"])
        threshold = options["threshold"]
        if threshold is not None and not 0.0 < threshold < 1.0:
            raise CommandError(f"A threshold is a probability between 0 and 1, not {threshold}.")
        reference.grow(version.detector)
        snapshot = reference.publish_snapshot(version.detector)
        gating.hand_down(version)
        gate = gates.run_gate(version, threshold, snapshot)
        if options["json"]:
            self.stdout.write(orjson.dumps(gate.report | {"digest": gate.digest}, option=orjson.OPT_INDENT_2).decode())
        else:
            for check in gate.report["checks"]:
                self.stdout.write(f"{'passed' if check['passed'] else check['level']:>7}  {check['text']}")
        if not gate.passed:
            raise CommandError(gate.report["sentence"])  # on stderr; stdout stays pure
        self.stderr.write(gate.report["sentence"])


def _version(detector: str, number: int) -> Version:
    found = Version.objects.filter(detector__name=detector).select_related("detector", "training_set")
    version = found.filter(number=number).first()
    if version is None:
        known = ", ".join(map(str, found.values_list("number", flat=True))) or "none: is the name right?"
        raise CommandError(f"{detector} has no version {number}. Its versions: {known}.")
    return version
