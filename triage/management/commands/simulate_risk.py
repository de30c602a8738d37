"""`python manage.py simulate_risk "Acme (synthetic)" --habit busy`: an organisation of people that do not exist."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from detection.adaptive.simulation import HABITS
from triage.models import Organisation
from triage.services.risk import nights, simulated


class Command(BaseCommand):
    help = "Send what behaviour models would say of simulated people, day by day, and close these days."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="of the organisation; it is made when it is not there")
        parser.add_argument("--habit", choices=sorted(HABITS), default="quiet")
        parser.add_argument("--people", type=int, default=25)
        parser.add_argument("--days", type=int, default=90, help="up to yesterday")
        parser.add_argument("--budget", type=float, default=1.0, help="alerts a day")
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["people"] < 2 or options["days"] < 1:
            raise CommandError("expected --people 2 or more and --days 1 or more")
        organisation = simulated.organisation(options["name"], budget=options["budget"])
        if nights.in_use(organisation)[0].nights.exists():
            raise CommandError(f"{organisation} has a history: choose another name")
        alerts = simulated.live(
            organisation, HABITS[options["habit"]], options["people"], options["days"], options["seed"]
        )
        number = Organisation.objects.get(pk=organisation.pk).entities.count()
        self.stdout.write(f"{organisation}: {number} people, {options['days']} days, {alerts} alerts")
