"""`python manage.py compact [--day DAY] [--dry-run] [--json]`: merge segments of closed days, as the clock does."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from jobs.models import Job, State
from jobs.services import parts
from models_registry.services import compaction
from models_registry.services.compaction import Plan
from traffic.services.compaction import POLICY


class Command(BaseCommand):
    help = "Merge segments of closed days, and small ones, into some that are sorted by host and time. Loses nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--day", action="append", type=_day, default=[], help="only this day (UTC), closed or not")
        parser.add_argument("--dry-run", action="store_true", help="say what would be merged, change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["day"]
        plan = compaction.plan(days=days)
        job = None if options["dry_run"] else compaction.start(days=days)
        if job is not None:
            parts.run(job.pk, lambda part: compaction.work(job, part))
            job.refresh_from_db()
        self._tell_json(plan, job) if options["json"] else self._tell(plan, job)
        if job is not None and job.state == State.FAILED:
            raise CommandError(job.error)

    def _tell(self, plan: Plan, job: Job | None) -> None:
        for batch in plan.batches:
            self.stdout.write(f"{batch.day}: {len(batch.pks):,} segments with {batch.rows:,} sessions")
        for line in () if job is None else job.lines.all():
            self.stdout.write(f"  {line.text}")
        if plan.waiting:
            self.stdout.write(f"{plan.waiting:,} segments wait for hits, scores or items, and are left for later")
        if not plan.batches:
            self.stdout.write("nothing to merge")

    def _tell_json(self, plan: Plan, job: Job | None) -> None:
        told = {
            "dry_run": job is None,
            "batches": [{"day": one.day, "segments": len(one.pks), "sessions": one.rows} for one in plan.batches],
            "waiting": plan.waiting,
            "job": None if job is None else {"number": job.pk, "state": job.state},
            "policy": POLICY.to_dict(),
        }
        self.stdout.write(orjson.dumps(told).decode())


def _day(text: str) -> date:
    return date.fromisoformat(text)
