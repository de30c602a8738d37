"""`python manage.py hunt 'FILTER' [--since T] [--until T] [--under-test VERSION] [--json]`: ask all stored traffic."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from detection.filters import FilterError
from labeling.services import hunts
from models_registry.models import Version
from models_registry.services.hunt_counts import count
from models_registry.services.hunt_tables import HuntTooLong
from models_registry.services.hunts import Window


class Command(BaseCommand):
    help = "Count the stored sessions and hosts that pass a filter."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("filter", help="""as on the hunt page: 'dst.dns == "example.com" and http.status >= 500'""")
        parser.add_argument("--since", type=_moment, help="only sessions that begin at this time or later, UTC")
        parser.add_argument("--until", type=_moment, help="only sessions that begin at this time or earlier, UTC")
        parser.add_argument(
            "--under-test",
            metavar="VERSION",
            help="the version under test, ktalk:3: alert.msg and app_service are its words",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        begun = time.perf_counter()
        try:
            window = Window(options["since"], options["until"])
            hunt = hunts.prepare(options["filter"], window=window, under_test=_version(options["under_test"]))
            found = count(hunt)
        except FilterError as error:
            raise CommandError(f"{error}\n  {options['filter']}\n  {' ' * (error.column - 1)}^") from None
        except HuntTooLong as error:
            raise CommandError(str(error)) from None
        answer = {
            "sessions": found.sessions,
            "hosts": found.hosts,
            "rule_hits": found.rule_hits,
            "attacks": found.attacks,
            "indicators": found.indicators,
            "first": found.first,
            "last": found.last,
            "seconds": round(time.perf_counter() - begun, 3),
        }
        for version, segments in hunt.unscored.items():
            if segments:
                self.stderr.write(
                    f"{version} has no scores of {segments} segments: their sessions have no verdict of it"
                )
        if options["json"]:
            self.stdout.write(orjson.dumps(answer, option=orjson.OPT_UTC_Z).decode())
            return
        for name, value in answer.items():
            self.stdout.write(
                f"{name.replace('_', ' '):11} {value:,}" if isinstance(value, int) else f"{name:11} {value}"
            )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _version(name: str | None) -> Version | None:
    if not name:
        return None
    found = hunts.version_named(name)
    if found is None:
        raise CommandError(f"There is no version {name!r}.")
    return found
