"""Traffic that comes over the network: bounded, refused while there is no room, never half a body."""

from __future__ import annotations

import io
import shutil
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.models import User
from detection.sources.lines import TooMuchUnpackedError
from jobs.models import Job, State
from jobs.services import jobs
from jobs.services.jobs import Lease
from traffic import storage
from traffic.services import rule_sets, runs
from traffic.services.ingest import UPLOAD_POLICY, FileResult, ingest_stream, path_text

TASK = "traffic.tasks.ingest_upload"
KIND = gettext_noop("upload")
FOLDER = "uploads"
BODY_BYTES = 1 << 30  # as received; unpacked it is bounded by UPLOAD_POLICY
SHOWN = 20  # uploads on the page
AT_ONCE = 4  # files taken in at the same time on this machine; each may hold half a GiB
FREE_SHARE = 0.05  # of the disk of the store, and
FREE_BYTES = 2 << 30  # so much must stay free: scores and quarantine of what is coming in need room too
TELL_EVERY = 0.5  # seconds between two looks at "cancel" and two writes of the progress


class Refused(Exception):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Not now: `retry_after` is in seconds."""

    def __init__(self, told: str, retry_after: int) -> None:
        super().__init__(told)
        self.retry_after = retry_after


class NoRoom(Refused):
    """The disk of the store is nearly full."""


class TooBusy(Refused):
    """Too many files are being taken in."""


class TornBody(Exception):  # noqa: N818
    """The sender went away in the middle; nothing of it may be kept."""


class Body(io.RawIOBase):
    """A request's body of a length that was told: read on demand, never whole, never less than that."""

    def __init__(self, source: Any, length: int) -> None:
        self._source, self._left = source, length
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def begins_with(self, mark: bytes) -> bool:
        """Look at the first bytes; they are read again."""
        while len(self._ahead) < len(mark) and self._left:
            self._ahead += self._receive(len(mark) - len(self._ahead))
        return self._ahead.startswith(mark)

    def read(self, size: int = -1) -> bytes:
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        return self._receive(size)

    def _receive(self, size: int) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        if not wanted:
            return b""
        try:
            data: bytes = self._source.read(wanted)
        except OSError as error:  # Django's UnreadablePostError is one
            raise TornBody(str(error)) from error
        if not data:
            raise TornBody(f"{self._left} bytes are missing at the end")
        self._left -= len(data)
        return data


class Metered(io.RawIOBase):
    """A stream that tells now and then how many bytes were read."""

    def __init__(self, source: BinaryIO, tell: Callable[[int], None]) -> None:
        self._source, self._tell = source, tell
        self._read = 0
        self._told_at = float("-inf")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY:
            self._tell(self._read)
            self._told_at = now
        data = self._source.read(size)
        self._read += len(data)
        return data


def check_room() -> None:
    """Raise NoRoom or TooBusy when another file would hurt those that are being taken in."""
    check_disk()
    if runs.alive() >= AT_ONCE:
        raise TooBusy(_("Enough files are being taken in. Nothing was read; send it again in a moment."), 10)


def check_disk() -> None:
    """Raise NoRoom when the disk of a local store is nearly full."""
    if runs.store_is_local():
        disk = shutil.disk_usage(storage.local_path("."))
        if disk.free < min(FREE_BYTES, FREE_SHARE * disk.total):
            raise NoRoom(_("The disk of the store is nearly full. Nothing was read; send it again later."), 300)


def take_in(body: Body, name: str, sensor: str) -> FileResult:
    """Take in one log as it arrives; raises NoRoom, TooBusy, TornBody, TooMuchUnpackedError, and keeps nothing then."""
    check_room()
    return ingest_stream(cast(BinaryIO, body), name, rule_sets.sensor_named(sensor), policy=UPLOAD_POLICY)


def start(name: str, chunks: Iterable[bytes], size: int, sensor: str, by: User) -> Job:
    """Keep an uploaded file in the store and have a worker take it in. Raises NoRoom."""
    check_disk()
    path = f"{FOLDER}/{uuid.uuid4().hex}"
    with storage.writing(path) as file:
        file.writelines(chunks)
    arguments = {"path": path, "name": path_text(Path(name)), "sensor": sensor, "size": size}
    return jobs.start(TASK, f"upload {path}", arguments, kind=KIND, by=by)


def ingest(lease: Lease) -> dict[str, Any]:
    """Take a job's file in and delete it; a job that is cancelled or fails keeps nothing of it."""
    told = lease.job.arguments
    sensor = rule_sets.sensor_named(told["sensor"])
    with storage.open_input(told["path"]) as file:
        stream = Metered(file, lambda done: lease.progress(done, told["size"]))
        try:
            result = ingest_stream(cast(BinaryIO, stream), told["name"], sensor, policy=UPLOAD_POLICY)
        except TooMuchUnpackedError as error:
            result = FileResult(told["name"], rejected=1, reasons={str(error): 1})
        except jobs.Cancelled:
            storage.delete(told["path"])
            raise
    storage.delete(told["path"])
    return {"file": asdict(result)}


def discard_uploads() -> int:
    """Delete uploaded files whose job has ended without taking them in; return how many there were."""
    ended = Job.objects.filter(kind=KIND, state__in=(State.FAILED, State.CANCELLED))
    recent = ended.filter(finished_at__gt=timezone.now() - timedelta(days=7))
    paths = [job.arguments["path"] for job in recent if storage.exists(job.arguments["path"])]
    for path in paths:
        storage.delete(path)
    return len(paths)


def recent(by: User) -> list[Job]:
    """Return somebody's newest uploads."""
    return list(Job.objects.filter(kind=KIND, created_by=by)[:SHOWN])
