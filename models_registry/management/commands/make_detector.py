"""Create or update a detector from a YAML file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from models_registry.models import Detector, DetectorProposal
from models_registry.services import detector_changes
from models_registry.services.detectors import DetectorError, NeedsSecondPerson, make_detector
from models_registry.services.two_people import ChangeRefused


class Command(BaseCommand):
    help = "Create a detector from a file such as docs/formats/detector.http-attacks.yml, or propose to change one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--by", metavar="NAME", help="the engineer or senior expert who proposes what has changed")

    def handle(self, *args: Any, file: Path, by: str | None = None, **options: Any) -> None:
        try:
            spec = yaml.safe_load(file.read_text())
            if not isinstance(spec, dict):
                raise DetectorError("expected keys and values, as in docs/formats/detector.http-attacks.yml")
            try:
                detector = make_detector(spec)
            except NeedsSecondPerson as needed:
                proposal = _propose(spec, by, needed)
                return self.stdout.write(f"Proposed: {proposal}. Before it takes effect a second person agrees.")
        except (OSError, yaml.YAMLError, DetectorError, ChangeRefused, ValidationError) as error:
            raise CommandError(f"{file}: {error}") from error
        return self.stdout.write(
            f"{detector.name}: rule mapping {detector.mapping.number} {detector.mapping.digest[:12]}"
        )


def _propose(spec: dict[str, Any], by: str | None, needed: NeedsSecondPerson) -> DetectorProposal:
    person = User.objects.filter(username=by).first()
    if person is None:
        raise DetectorError(f"{needed} (--by says who proposes it)")
    detector = Detector.objects.get(name=spec["name"])
    return detector_changes.propose(
        detector, person, rules=spec.get("rules"), cost=spec.get("false_positive_cost"), reason="by file"
    )
