"""`python manage.py rule_set FILE [--name NAME] [--sensor NAME] [--json]`: declare the rules a sensor runs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from traffic.services import rule_sets


class Command(BaseCommand):
    help = "Keep a Suricata rule file (plain or gzip) as a rule set, and say which sensor runs it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", metavar="FILE")
        parser.add_argument("--name", default="", help="what people call it; without it, the file's name")
        parser.add_argument("--sensor", default="", help="the sensor that runs it from now on")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            kept = rule_sets.add_rule_set(options["path"], options["name"])
        except (OSError, rule_sets.NoRulesError) as error:
            raise CommandError(str(error)) from None
        if options["sensor"]:
            rule_sets.sensor_named(options["sensor"], kept)
        if options["json"]:
            told = {"name": kept.name, "digest": kept.digest, "rules": kept.rules, "sensor": options["sensor"]}
            self.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        else:
            self.stdout.write(f"{kept.name}: {kept.rules} rules, {kept.digest}")
