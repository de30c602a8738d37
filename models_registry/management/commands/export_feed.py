"""Write the feed to a folder for a stick."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from models_registry.models import CHANNELS, Customer
from models_registry.services import feed, feed_export


class Command(BaseCommand):
    help = "The channel's metadata and bundles; an appliance takes them by `update --from DIR`."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--channel", choices=[channel.value for channel in CHANNELS], default="stable")
        parser.add_argument("--customer", help="whose appliances it is for: takes along what this customer alone gets")
        parser.add_argument("--out", type=Path, required=True)
        parser.add_argument("--days", type=int, default=90, help="how long the copy stays valid (default 90)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["days"] <= 365:
            raise CommandError("--days is from 1 to 365")
        customer = None
        if options["customer"]:
            customer = Customer.objects.filter(name=options["customer"]).first()
            if customer is None:
                raise CommandError(f"there is no customer {options['customer']!r}")
        now = timezone.now()
        try:
            written = feed_export.export(
                options["channel"], options["out"], timedelta(days=options["days"]), now, customer
            )
        except (feed.NoFeed, OSError) as error:
            raise CommandError(str(error)) from error
        until = now + timedelta(days=options["days"])
        self.stdout.write(f"{len(written)} files in {options['out']}, valid until {until:%Y-%m-%d %H:%M} UTC")
        if customer is None and Customer.objects.exclude(feed_role="").exists():
            self.stdout.write("No customer's role is on it: an appliance takes it only with his, by --customer NAME")
