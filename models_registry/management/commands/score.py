"""Score what waits."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from models_registry.services.scoring import score_waiting


class Command(BaseCommand):
    help = "Score every stored segment with every version that has not seen it."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{score_waiting()} score files written")
