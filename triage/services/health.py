"""Can this house work right now: database, storage, cache. Do its streams flow, and is its ledger whole."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from models_registry.models import LedgerCheck
from models_registry.services import ledger_watch
from traffic import storage
from traffic.services.streams.readings import Reading, readings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """Which parts answered. A stream in trouble makes no page fail: it is told, and leaves the house healthy."""

    parts: dict[str, bool]
    streams: list[Reading] | None = None  # None: nobody could be asked
    ledger: LedgerCheck | None = None  # of the newest night; None: none yet, or nobody could be asked

    @property
    def healthy(self) -> bool:
        return all(self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        parts = {name: "ok" if ok else "unreachable" for name, ok in self.parts.items()}
        return {"healthy": self.healthy} | parts | {"streams": self.flow, "ledger": self.evidence}

    @property
    def flow(self) -> str:
        """One word for all streams; their names are nobody's business who is not signed in."""
        if self.streams is None:
            return "unknown"
        return "in trouble" if any(reading.problem for reading in self.streams) else "ok"

    @property
    def evidence(self) -> str:
        """One word for the ledger."""
        if self.ledger is None:
            return "unknown"
        return "broken" if self.ledger.differences else "late" if self.is_late else "whole"

    @property
    def is_late(self) -> bool:
        return ledger_watch.is_late(self.ledger)


def check() -> Health:
    """Touch every part once. Why one failed goes to the log, not to strangers."""
    parts = {name: _works(name, touch) for name, touch in PARTS.items()}
    if not parts["database"]:
        return Health(parts)
    return Health(parts, readings(timezone.now()), ledger_watch.newest())


def _works(name: str, touch: Callable[[], None]) -> bool:
    try:
        touch()
    except Exception:  # whatever a driver raises means the same to the caller
        log.exception("health.unreachable", part=name)
        return False
    return True


def _touch_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def _touch_storage() -> None:
    path = f"health/{secrets.token_hex(8)}"
    storage.put_bytes(path, b"ok")
    storage.delete(path)


def _touch_cache() -> None:
    token = secrets.token_hex(8)
    cache.set("health", token, timeout=60)
    if cache.get("health") is None:  # another worker's token is as good
        raise RuntimeError("the cache forgot at once")


PARTS: dict[str, Callable[[], None]] = {
    "database": _touch_database,
    "storage": _touch_storage,
    "cache": _touch_cache,
}
