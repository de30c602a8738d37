"""`python manage.py ingest PATH... [--sensor NAME] [--rules FILE] [--json]`: take logs in."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from traffic.services import ingest, rule_sets
from traffic.services.ingest import FileResult


class Command(BaseCommand):
    help = "Take Suricata EVE and Zeek logs in: files or folders, plain or gzip. The same bytes twice add nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", metavar="PATH", help="a log, or a folder of logs")
        parser.add_argument("--sensor", default=ingest.DEFAULT_SENSOR, help="name of the sensor that wrote them")
        parser.add_argument(
            "--rules", metavar="FILE", help="the rule file the sensor ran; without it, the sensor's own"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rules = rule_sets.add_rule_set(options["rules"]) if options["rules"] else None
            results = []
            for result in ingest.ingest_each(options["paths"], options["sensor"], rules):
                results.append(result)
                if not options["json"]:
                    self._tell(result)
        except (OSError, rule_sets.NoRulesError) as error:
            raise CommandError(str(error)) from None
        report = ingest.as_report(results)
        if options["json"]:
            self.stdout.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
        else:
            self.stdout.write(
                f"{len(results)} files: {report['sessions']} sessions, {report['rejected']} rejected, "
                f"{report['seconds']:.1f} s"
            )

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
