"""`python manage.py verify_ledger [--no-files] [--json]`: is the ledger whole and true? Exit code 1: no."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from models_registry.services import ledger_check, ledger_roles


class Command(BaseCommand):
    help = "Read the ledger through: the chain, the rows and the files it speaks of. Names every difference."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-files", action="store_true", help="chain and rows only: files may be many")
        parser.add_argument("--json", action="store_true", help="print figures and findings as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        while ledger_roles.collect():
            pass
        checked = ledger_check.verify(files=not options["no_files"])
        if options["json"]:
            self.stdout.write(orjson.dumps(asdict(checked), option=orjson.OPT_INDENT_2).decode())
        else:
            for finding in checked.findings:
                self.stdout.write(str(finding))
        told = f"{checked.entries:,} entries, {checked.rows:,} rows, {checked.files:,} files; head {checked.head[:12]}"
        if checked.findings:
            raise CommandError(f"{len(checked.findings)} differences in {told}")
        self.stderr.write(f"whole: {told}")
