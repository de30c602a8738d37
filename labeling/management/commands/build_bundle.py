"""`python manage.py build_bundle build_config.yml --out FILE [--json]`: one ONNX with several versions."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from detection.bundle_config import ConfigError, parse_config
from labeling.services import reference
from models_registry.models import Bundle, Detector
from models_registry.services import bundles, gates
from traffic import storage


class Command(BaseCommand):
    help = "Build the bundle a configuration describes; loud entries must pass the gate at their threshold."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("config", help="build_config.yml")
        parser.add_argument("--out", required=True, metavar="FILE", help="where the ONNX file goes")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            config = Path(options["config"]).read_text(encoding="utf-8")
            _freeze_references(config)
            bundle = bundles.build(config)
            Path(options["out"]).write_bytes(storage.get_bytes(bundle.path))
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error
        except ConfigError as error:
            raise CommandError(f"{options['config']}:{error.line}: {error}") from error
        except (bundles.BundleRefused, gates.NothingToCheck) as error:
            raise CommandError(f"No bundle was built. {error}") from error
        if options["json"]:
            self.stdout.write(orjson.dumps(_report(bundle, options["out"]), option=orjson.OPT_INDENT_2).decode())
        else:
            self._tell(bundle, options["out"])

    def _tell(self, bundle: Bundle, out: str) -> None:
        self.stdout.write(f"{out}: {bundle.bytes} bytes, SHA-256 {bundle.digest}")
        for entry in bundle.entries.select_related("version__detector").order_by("pk"):
            self.stdout.write(
                f"  {entry.version} at {entry.threshold} {'silent' if entry.is_silent else 'loud, gate passed'}"
            )


def _freeze_references(config: str) -> None:
    """Let the gate see every agreed answer: it checks on the newest snapshot."""
    names = {entry.registry_name for entry in parse_config(config)}
    for detector in Detector.objects.filter(name__in=names):
        reference.grow(detector)
        reference.publish_snapshot(detector)


def _report(bundle: Bundle, out: str) -> dict[str, Any]:
    entries = bundle.entries.select_related("version__detector", "gate_report").order_by("pk")
    return {
        "path": out,
        "digest": bundle.digest,
        "bytes": bundle.bytes,
        "entries": [
            {
                "version": str(entry.version),
                "threshold": entry.threshold,
                "is_silent": entry.is_silent,
                "gate_report": entry.gate_report.digest if entry.gate_report else None,
            }
            for entry in entries
        ],
        "metadata": bundle.metadata,
    }
