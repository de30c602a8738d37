"""`python manage.py export_version SERVER DETECTOR NUMBER`: give a version to an MLflow registry. Twice is a no-op."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_registry.models import Version
from models_registry.services import mlflow_registry


class Command(BaseCommand):
    help = "Register a version with its files and its evidence in an MLflow registry."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("server", help="a name of MLFLOW_SERVERS")
        parser.add_argument("detector", help="its name")
        parser.add_argument("number", type=int, help="of the version")

    def handle(self, *args: Any, **options: Any) -> None:
        found = Version.objects.select_related("detector", "training_set")
        version = found.filter(detector__name=options["detector"], number=options["number"]).first()
        if version is None:
            raise CommandError(f"There is no {options['detector']}:{options['number']}.")
        try:
            number = mlflow_registry.push(version, options["server"])
        except mlflow_registry.RegistryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{version} is version {number} of {version.detector} there: {version.onnx_digest}")
