"""`python manage.py replay [LOG...] [--json]`: read quarantines again; without numbers all of them."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from accounts.services import audit
from traffic.models import Intake
from traffic.services import replays


class Command(BaseCommand):
    help = "Read lines that were set aside again: what can be read today is stored, the rest stays with its reasons."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("logs", metavar="LOG", nargs="*", type=int, help="numbers of logs; without any, all")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = Intake.objects.select_related("sensor").exclude(quarantine_path="").order_by("pk")
        if options["logs"]:
            chosen = chosen.filter(pk__in=options["logs"])
            if unknown := sorted(set(options["logs"]) - set(chosen.values_list("pk", flat=True))):
                raise CommandError(f"no quarantine: {', '.join(map(str, unknown))}")
        told = []
        for intake in filter(replays.may_be_replayed, chosen):
            audit.record(None, "quarantine.replayed", str(intake), log=intake.pk)
            told.append(replays.replay(intake))
            if not options["json"]:
                self.stdout.write(f"{intake.pk} {intake.path}: {told[-1].read} lines read, {told[-1].left} left")
        if options["json"]:
            self.stdout.write(
                orjson.dumps({"logs": [asdict(one) for one in told]}, option=orjson.OPT_INDENT_2).decode()
            )
