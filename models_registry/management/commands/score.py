"""Score what waits."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from models_registry.services import corrections
from models_registry.services.scoring import score_waiting
from traffic.services import late_hits


class Command(BaseCommand):
    help = "Score every stored segment with every version that has not seen it; correct what late rule hits changed."

    def handle(self, *args: Any, **options: Any) -> None:
        late_hits.collect()
        corrections.correct_waiting()
        self.stdout.write(f"{score_waiting()} score files written")
