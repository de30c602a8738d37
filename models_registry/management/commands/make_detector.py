"""Create or update a detector from a YAML file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from models_registry.services.detectors import DetectorError, make_detector


class Command(BaseCommand):
    help = "Create a detector, or bring it up to date, from a file such as docs/formats/detector.http-attacks.yml."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            spec = yaml.safe_load(file.read_text())
            if not isinstance(spec, dict):
                raise DetectorError("expected keys and values, as in docs/formats/detector.http-attacks.yml")
            detector = make_detector(spec)
        except (OSError, yaml.YAMLError, DetectorError, ValidationError) as error:
            raise CommandError(f"{file}: {error}") from error
        self.stdout.write(f"{detector.name}: rule mapping {detector.mapping.number} {detector.mapping.digest[:12]}")
