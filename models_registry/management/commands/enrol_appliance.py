"""Enrol an appliance by stick: its request in, the answer out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_registry.services import appliances


class Command(BaseCommand):
    help = "Takes what `enroll --request` wrote, writes what `enroll --answer` takes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("request", type=Path)
        parser.add_argument("--out", type=Path, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            told = json.loads(options["request"].read_bytes())
            answer = appliances.enrol(str(told["code"]), str(told["public_key"]))
            options["out"].write_text(json.dumps(answer), encoding="utf-8")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CommandError(f"{options['request']}: {error}") from error
        self.stdout.write(f"{answer['appliance']} is enrolled; take {options['out']} back to it")
