"""`python manage.py import_reference DETECTOR FILE --by USER`: check rows and stage them for a second person."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from labeling.services import imports
from labeling.services.reference_changes import ChangeRefused
from models_registry.models import Detector


class Command(BaseCommand):
    help = "Stage an import of reference rows; a second person lets them in on the import's page."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("detector", help="its name")
        parser.add_argument("file", help="JSON lines (plain or gzip) or Parquet")
        parser.add_argument("--by", required=True, help="name of the engineer or senior expert who answers for it")

    def handle(self, *args: Any, **options: Any) -> None:
        detector = Detector.objects.filter(name=options["detector"]).first()
        by = User.objects.filter(username=options["by"], is_active=True).first()
        if detector is None or by is None:
            raise CommandError(f"There is no detector {options['detector']!r}, or no user {options['by']!r}.")
        try:
            with open(options["file"], "rb") as file:
                found = imports.stage(detector, file, Path(options["file"]).name, by)
        except (ChangeRefused, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"import {found.pk}: {found.good} good, {found.known} known, {found.bad} bad lines")
        for number, field, told in found.first_errors:
            self.stdout.write(f"  line {number}: {field}: {told}")
