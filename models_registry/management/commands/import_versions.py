"""`python manage.py import_versions SERVER DETECTOR`: take versions over from an MLflow registry. Twice is a no-op."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_registry.models import Detector
from models_registry.services import foreign, mlflow_registry


class Command(BaseCommand):
    help = "Register the versions that an MLflow registry has under a detector's name, as candidates."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("server", help="a name of MLFLOW_SERVERS")
        parser.add_argument("detector", help="its name, here and there")

    def handle(self, *args: Any, **options: Any) -> None:
        detector = Detector.objects.filter(name=options["detector"]).first()
        if detector is None:
            raise CommandError(f"There is no detector {options['detector']}: make it first (make_detector).")
        try:
            for version, is_new in mlflow_registry.pull(detector, options["server"]):
                self.stdout.write(f"{'new' if is_new else 'known':>5}  {version}  {version.onnx_digest}")
        except (mlflow_registry.RegistryError, foreign.ForeignRefused) as error:
            raise CommandError(str(error)) from error
