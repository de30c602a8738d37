"""`python manage.py grow [DETECTOR] [--json]`: let the reference set grow by what experts agreed on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from labeling.services import reference
from models_registry.models import Detector


class Command(BaseCommand):
    help = "Admit settled items to the reference set and freeze a snapshot where it changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("detector", nargs="?", help="its name; all detectors without one")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["detector"]
        detectors = list(Detector.objects.filter(name=name) if name else Detector.objects.all())
        if name and not detectors:
            raise CommandError(f"There is no detector {name!r}.")
        report = {}
        for detector in detectors:
            admitted = reference.grow(detector)
            snapshot = reference.publish_snapshot(detector)
            report[detector.name] = {"admitted": admitted, "snapshot": snapshot.number, "rows": snapshot.rows}
        if options["json"]:
            self.stdout.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
            return
        for found, figures in report.items():
            self.stdout.write(
                f"{found}: {figures['admitted']} admitted, snapshot {figures['snapshot']} of {figures['rows']} rows"
            )
