"""`python manage.py route [--json]`: turn what is worth a human into items."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand

from labeling.services import dumps, late_hits
from labeling.services.queues import loads
from labeling.services.routing import route_waiting


class Command(BaseCommand):
    help = "Fold what is worth a human in all scored segments into items of the queues, and draw proof items."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        routed = route_waiting() + dumps.route_waiting()
        late_hits.correct_waiting()
        waiting = {load.queue.slug: load.waiting for load in loads()}
        if options["json"]:
            self.stdout.write(orjson.dumps({"sessions": routed, "waiting": waiting}).decode())
            return
        self.stdout.write(f"{routed} sessions routed")
        for slug, count in waiting.items():
            self.stdout.write(f"{slug}: {count} items wait")
