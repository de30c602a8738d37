"""The folder a demo lives in: whose it is, what lies in it, and how it goes away again."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER, ONCE = ROOT / "var" / "demo", ROOT / "var" / "once"
LOGS, TEMPORARY, OPENING = "logs", "tmp", "opening.json"
# nothing else in the folder is ours to delete
CONTENTS = (
    "etalon.sqlite3*",
    "storage",
    "feed-keys",
    "approvers",
    "sites",
    "broker",
    "cache",
    "clock*",
    LOGS,
    TEMPORARY,
    OPENING,
)
# settings of a real house, which the demo must neither read nor touch
FOREIGN = (
    *("DATABASE_URL", "ETALON_STORAGE", "REDIS_URL", "CELERY_BROKER_URL", "CELERY_BROKER_FOLDER"),
    *("CELERY_BEAT_SCHEDULE_FILENAME", "SECRET_KEY", "ETALON_REFERENCE_KEY", "ALLOWED_HOSTS", "DEBUG"),
    *("SECURE_SSL_REDIRECT", "BEHIND_PROXY", "CSRF_TRUSTED_ORIGINS", "STATIC_ROOT"),
    *("ETALON_SPOOL", "ETALON_GEO", "ETALON_TRAFFIC_BYTES", "ETALON_FEED_KEYS", "ETALON_REFERENCE_MACHINE"),
    *("EMAIL_URL", "ETALON_MAIL_FROM", "ETALON_OUTBOX_NETWORKS"),
    "MLFLOW_SERVERS",
    *(f"ETALON_SUGGESTIONS_{name}" for name in ("URL", "MODEL", "KEY", "ADDRESSES", "PER_DAY")),
)


class InUse(Exception):  # noqa: N818 (says what is true)
    """A demo runs on this folder."""


def environment(folder: Path, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of every process that belongs to the demo in `folder`."""
    ours = {name: value for name, value in given.items() if name not in FOREIGN}
    temporary = folder / TEMPORARY  # beside the broker: a message is moved here, which must be a rename
    temporary.mkdir(parents=True, exist_ok=True)
    return ours | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "ETALON_DEVELOPMENT": "1",
        "ETALON_VAR": str(folder),
        "TMPDIR": str(temporary),
        "CELERY_BROKER_URL": "filesystem://localhost",  # without a name kombu warns in every process
        "LOG_LEVEL": given.get("LOG_LEVEL", "WARNING"),
        "CELERY_SKIP_CHECKS": "1",  # Celery's processes would load every page only to check it
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore::Warning:celery.platforms",  # of being root: a demo in a container is
        "MALLOC_ARENA_MAX": "2",  # glibc keeps a heap per thread: several processes, few threads, small machine
    }


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder while the block runs; InUse when somebody else does."""
    descriptor = _lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def hold_for_good(folder: Path) -> None:
    """Hold the folder for as long as this process lives, also as another program; InUse when somebody else does."""
    os.set_inheritable(_lock(folder), True)


def _lock(folder: Path) -> int:
    """Return the open folder, locked. The kernel lets go of it with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUse(f"A demo runs in {shown(folder)}: end it first, or name another folder with --state.") from None
    return descriptor


def reset(folder: Path) -> list[str]:
    """Delete what a demo left in the folder, and nothing else; return what that was. InUse while it runs."""
    if not folder.is_dir():
        return []
    with held(folder):
        return remove_contents(folder)


def remove_contents(folder: Path) -> list[str]:
    found = sorted(path for pattern in CONTENTS for path in folder.glob(pattern))
    told = [f"{shown(path)} ({size(path) / 1e6:.1f} MB)" for path in found]
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return told


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())


def shown(path: Path) -> Path:
    """Return a path as short as people may type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
