"""Taking a log in as a job: for files too long to wait for."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from accounts.models import User
from jobs.models import Job
from jobs.services import jobs
from jobs.services.jobs import Lease
from traffic.services.ingest import FileResult, files_in, ingest_each

TASK = "traffic.tasks.ingest_file"


def start(path: Path, sensor: str, by: User | None = None) -> Job:
    """Take a file or a folder in, by a worker that sees it under the same path."""
    arguments = {"path": str(path), "sensor": sensor}
    return jobs.start(TASK, f"ingest {path}", arguments, kind=gettext_noop("ingest"), by=by)


def ingest(lease: Lease) -> dict[str, Any]:
    """Take a job's files in; those an earlier run took in are known by their bytes."""
    path, sensor = lease.job.arguments["path"], lease.job.arguments["sensor"]
    total = len(list(files_in([path])))
    files = []
    for done, result in enumerate(ingest_each([path], sensor), start=1):
        files.append(asdict(result))
        lease.say(_told(result))
        lease.progress(done, total)
    return {"files": files, "links": [jobs.link("Traffic", "traffic:intakes")]}


def _told(result: FileResult) -> str:
    if result.duplicate:
        return f"{result.path}: was taken in before"
    return f"{result.path}: {result.sessions:,} sessions, {result.rule_hits:,} rule hits, {result.rejected:,} rejected"
