"""Runs of the intake. Each holds a lock that the kernel frees when its process dies: so leftovers can be told apart."""

from __future__ import annotations

import fcntl
import os
import tempfile
import uuid
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from django.conf import settings
from django.utils import timezone

from traffic import storage
from traffic.models import Segment

# on a remote store the lock of another machine cannot be seen: its unsealed segments are left alone that long
REMOTE_PATIENCE = timedelta(days=1)


class Run:
    """A context manager: while it is open, `is_alive(run.name)` says so in every process of this machine."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self._path = _lock_folder() / f"{self.name}.lock"
        self._descriptor = -1

    def __enter__(self) -> Run:
        descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=".new-")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.rename(temporary, self._path)  # it appears locked, so nobody takes it for a dead one
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def is_alive(name: str) -> bool:
    """Return whether a process of this machine holds that run open."""
    try:
        descriptor = os.open(_lock_folder() / f"{name}.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def alive() -> int:
    """Return how many runs this machine, or the machines that share a local store, hold open."""
    return sum(is_alive(path.stem) for path in _lock_folder().glob("*.lock"))


def discard_leftovers() -> int:
    """Delete the unsealed segments of runs that died; return how many there were."""
    dead = [segment for segment in Segment.objects.filter(sealed_at=None) if _is_dead(segment)]
    for name in {run_of(segment) for segment in dead}:
        drop(name)
        (_lock_folder() / f"{name}.lock").unlink(missing_ok=True)
    return len(dead)


def drop(name: str) -> None:
    """Delete what a run wrote, if it sealed nothing: the files first, so that a row always remembers what is left."""
    written = Segment.objects.filter(sessions_path__startswith=f"{_folder(name)}/")
    if not written.exclude(sealed_at=None).exists():
        storage.delete_folder(_folder(name))
        written.filter(sealed_at=None).delete()


def path_in(run: Run, name: str) -> str:
    return f"{_folder(run.name)}/{name}"


def _folder(name: str) -> str:
    return f"segments/{name}"


def run_of(segment: Segment) -> str:
    """Return the name of the run that wrote a segment: the folder its files lie in."""
    return segment.sessions_path.split("/")[1]


def _is_dead(segment: Segment) -> bool:
    if is_alive(run_of(segment)):
        return False
    return store_is_local() or segment.created_at < timezone.now() - REMOTE_PATIENCE


def store_is_local() -> bool:
    """Whether the store is a folder of this machine: its locks and its free space can be seen."""
    return bool(settings.ETALON_STORAGE.startswith("file://"))


def _lock_folder() -> Path:
    """The store itself where it is local: every process that shares the store sees the locks."""
    folder = storage.local_path("locks") if store_is_local() else Path(tempfile.gettempdir()) / "etalon-runs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
