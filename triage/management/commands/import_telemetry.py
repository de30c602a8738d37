"""`python manage.py import_telemetry counts.jsonl`: counts of sites without network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from triage.services.telemetry import intake


class Command(BaseCommand):
    help = "Take in what `python -m appliance telemetry --out FILE` wrote: a signed message a line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with options["file"].open("rb") as lines:
                done = intake.import_lines(lines)
        except OSError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{done.new} new, {done.corrected} corrected, {done.known} known, {done.refused} refused")
        for problem in done.problems:
            self.stderr.write(problem)
        if done.refused:
            raise CommandError("some lines were refused")
