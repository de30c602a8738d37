"""`python manage.py import_indicators NAME FILE --kind KIND [--hint] [--json]`: take a list of indicators in."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from detection.indicators import Kind
from models_registry.services import indicators


class Command(BaseCommand):
    help = "Import a list of domains, addresses, JA3 or certificates: one entry per line, `entry,note`, plain or gzip."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="of the list; a new file under the same name is its next version")
        parser.add_argument("file", type=Path)
        parser.add_argument("--kind", required=True, choices=list(map(str, Kind)))
        parser.add_argument("--hint", action="store_true", help="popular or known things: shown, matched with nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            data = options["file"].read_bytes()
            version = indicators.import_list(options["name"], options["kind"], data, is_hint=options["hint"])
        except (OSError, indicators.ImportRefused) as error:
            raise CommandError(f"{options['file']}: {error}") from None
        told = {"list": version.indicator_list.name, "version": version.number, "digest": version.digest}
        told |= {"entries": version.entries, "skipped": version.skipped, "examples": version.examples}
        if options["json"]:
            self.stdout.write(orjson.dumps(told).decode())
            return
        self.stdout.write(f"{version}: {version.entries} entries, {version.skipped} lines skipped")
        for example in version.examples:
            self.stdout.write(f"  skipped: {example!r}")
