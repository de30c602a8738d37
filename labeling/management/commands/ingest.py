"""`python manage.py ingest PATH... [--sensor NAME] [--rules FILE] [--json]`: take logs and saved captures in.

A capture may come with what its analyst knows: `--label positive --detector NAME --analyst USER`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from labeling.models import Answer
from labeling.services import dumps as labelled
from models_registry.models import Detector
from traffic.models import Intake, RuleSet
from traffic.services import dumps, ingest, rule_sets
from traffic.services.ingest import FileResult
from traffic.services.suricata import SuricataError


class Command(BaseCommand):
    help = (
        "Take Suricata EVE and Zeek logs in: files or folders, plain or gzip; and captures (pcap, pcapng), which "
        "Suricata reads. The same bytes twice add nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", metavar="PATH", help="a log, or a folder of logs")
        parser.add_argument("--sensor", default=ingest.DEFAULT_SENSOR, help="name of the sensor that wrote them")
        parser.add_argument(
            "--rules", metavar="FILE", help="the rule file the sensor ran; without it, the sensor's own"
        )
        parser.add_argument("--label", choices=["positive", "negative"], help="what every session of the captures is")
        parser.add_argument("--detector", metavar="NAME", help="the detector that the label is for")
        parser.add_argument("--analyst", metavar="USER", help="whose word it is")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            told = self._label(options)
            rules = rule_sets.add_rule_set(options["rules"]) if options["rules"] else None
            files = list(ingest.files_in(options["paths"]))
            captures = [path for path in files if dumps.is_capture(path)]
            if told and len(captures) < len(files):
                raise CommandError("--label is for captures (pcap, pcapng): sessions of logs are labelled one by one")
            results = []
            for result in self._each(files, captures, options["sensor"], rules):
                results.append(result)
                if told and result.intake is not None:
                    labelled.label(Intake.objects.get(pk=result.intake), *told)
                if not options["json"]:
                    self._tell(result)
        except (OSError, rule_sets.NoRulesError, SuricataError, labelled.DumpLabelRefused) as error:
            raise CommandError(str(error)) from None
        report = ingest.as_report(results)
        if options["json"]:
            self.stdout.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
        else:
            self.stdout.write(
                f"{len(results)} files: {report['sessions']} sessions, {report['rejected']} rejected, "
                f"{report['seconds']:.1f} s"
            )

    def _label(self, options: dict[str, Any]) -> tuple[Detector, Answer, User] | None:
        words = [options[name] for name in ("detector", "label", "analyst")]
        if not any(words):
            return None
        if not all(words):
            raise CommandError("--label, --detector and --analyst belong together")
        return labelled.check(*words)

    def _each(
        self, files: list[Path], captures: list[Path], sensor: str, rules: RuleSet | None
    ) -> Iterator[FileResult]:
        logs = [path for path in files if path not in set(captures)]
        if logs:
            yield from ingest.ingest_each(logs, sensor, rules)
        for capture in captures:
            yield dumps.ingest(capture, sensor, rules)

    def _tell(self, result: FileResult) -> None:
        if result.duplicate:
            self.stdout.write(f"{result.path}: taken in before, nothing added")
            return
        self.stdout.write(
            f"{result.path}: {result.http} http, {result.tls} tls, "
            f"{result.rule_hits} rule hits ({result.orphan_hits} without session), "
            f"{result.rejected} rejected, {'inspected' if result.inspected else 'not inspected'}"
        )
        if result.other:
            self.stdout.write("  counted: " + ", ".join(f"{count} {name}" for name, count in result.other.items()))
        if result.note:
            self.stdout.write(f"  {result.note}")
        for reason, count in result.reasons.items():
            self.stdout.write(f"  {count} x {reason}")
