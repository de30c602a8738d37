"""`python manage.py export_reference DETECTOR FILE`: write the rows in force as JSON lines or Parquet."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labeling.services import reference_files
from labeling.services.entries import RowFilter
from models_registry.models import Detector


class Command(BaseCommand):
    help = "Export a reference set; the file's name says whether as .jsonl or .parquet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("detector", help="its name")
        parser.add_argument("file", help="where to, ending in .jsonl or .parquet")

    def handle(self, *args: Any, **options: Any) -> None:
        detector = Detector.objects.filter(name=options["detector"]).first()
        if detector is None:
            raise CommandError(f"There is no detector {options['detector']!r}.")
        writers = {".jsonl": reference_files.lines, ".parquet": reference_files.parquet}
        write = writers.get(Path(options["file"]).suffix)
        if write is None:
            raise CommandError("The file's name must end in .jsonl or .parquet.")
        with open(options["file"], "wb") as file:
            for piece in write(detector, RowFilter()):
                file.write(piece)
        self.stdout.write(f"{options['file']}: {Path(options['file']).stat().st_size:,} bytes")
