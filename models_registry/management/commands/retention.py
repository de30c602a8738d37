"""`python manage.py retention [--dry-run] [--json]`: delete traffic that is too old or too much, as the clock does."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand

from models_registry.services import retention as scores
from traffic.services import retention


class Command(BaseCommand):
    help = (
        "Delete raw lines, sessions and scores by age and size. What experts judged, learn from and gate on is copied."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would go, delete nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        dry = options["dry_run"]
        decided, room = retention.apply(dry=dry)
        gone = scores.discard_scores(dry=dry)
        hits = retention.forget_hits(dry=dry)
        policy = retention.POLICY
        if options["json"]:
            told = {
                "dry_run": dry,
                "raw": len(decided.raw),
                "sessions": len(decided.sessions),
                "scores": gone,
                "hits": hits,
            }
            told |= {"bytes": decided.bytes, "used": room.used, "budget": room.budget, "short": decided.short}
            self.stdout.write(orjson.dumps(told | {"policy": policy.to_dict()}).decode())
            return
        word = "would go" if dry else "gone"
        self.stdout.write(
            f"{word}: raw lines of {len(decided.raw)} segments (after {policy.raw_days} days), sessions of "
            f"{len(decided.sessions)} (after {policy.session_days}), {gone} score files (after {policy.score_days}), "
            f"{hits} hits beside them, {decided.bytes:,} of {room.used:,} bytes"
        )
        if decided.short:
            self.stdout.write(f"{decided.short:,} bytes too much are younger than {policy.least_days} day and stay")
