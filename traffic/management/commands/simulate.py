"""`python manage.py simulate --out FILE --hours N --seed S [--site NAME] [--truth FILE] ...`: make a synthetic log."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from traffic.simulator import SITES, Parameters, Simulation

_USUAL = Parameters()
_WORK_BEGINS = timedelta(hours=6)  # of the first simulated day, in UTC: nine o'clock where the people are


class Command(BaseCommand):
    help = "Write synthetic traffic as Suricata EVE lines, and the truth about it into a file of its own."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--out", required=True, metavar="FILE", help="EVE lines")
        parser.add_argument("--truth", metavar="FILE", help="what each session really is, as JSON lines")
        parser.add_argument("--rules", metavar="FILE", help="the rules of the simulated sensors, for `rule_set`")
        parser.add_argument("--hours", type=float, default=1.0)
        parser.add_argument("--start", metavar="TIME", help="ISO time; without it, a Monday morning")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--site", choices=sorted(SITES), default="core")
        parser.add_argument("--sensor", metavar="NAME", help="the lines of one of the site's sensors only")
        parser.add_argument("--sessions-per-day", type=int, default=_USUAL.sessions_per_day)
        parser.add_argument("--tls-per-day", type=int, default=_USUAL.tls_per_day)
        parser.add_argument("--hosts", type=int, default=_USUAL.hosts)

    def handle(self, *args: Any, **options: Any) -> None:
        simulation = _simulation(options)
        sensor = options["sensor"]
        if sensor and sensor not in simulation.sensors:
            raise CommandError(f"--sensor: expected one of {', '.join(simulation.sensors)}, got {sensor}")
        start, end = _window(simulation, options)
        try:
            lines = _write(options["out"], simulation.lines(start, end, sensor))
            if options["rules"]:
                Path(options["rules"]).write_bytes(simulation.rule_file())
            if options["truth"]:
                told = (one for one in simulation.truth(start, end) if sensor in (None, one.sensor))
                _write(options["truth"], (orjson.dumps(one._asdict()) for one in told))
        except OSError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{options['out']}: {lines} synthetic lines of {simulation.site.title}, {start} to {end}")


def _simulation(options: dict[str, Any]) -> Simulation:
    try:
        parameters = Parameters(
            site=options["site"],
            hosts=options["hosts"],
            sessions_per_day=options["sessions_per_day"],
            tls_per_day=options["tls_per_day"],
        )
    except ValueError as error:
        raise CommandError(str(error)) from None
    return Simulation(parameters, options["seed"])


def _window(simulation: Simulation, options: dict[str, Any]) -> tuple[datetime, datetime]:
    if not options["hours"] > 0:
        raise CommandError(f"--hours: expected more than 0, got {options['hours']}")
    start = simulation.parameters.begins + _WORK_BEGINS
    if options["start"]:
        try:
            start = datetime.fromisoformat(options["start"])
        except ValueError:
            raise CommandError(f"--start: expected a time such as 2026-03-02T09:00, got {options['start']}") from None
        start = start if start.tzinfo else start.replace(tzinfo=UTC)
    return start, start + timedelta(hours=options["hours"])


def _write(path: str, lines: Iterable[bytes]) -> int:
    count = 0
    with Path(path).open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
            count += 1
    return count
