"""Leases: who holds a piece of work, kept alive by a thread for as long as the process lives."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection
from django.db.utils import DatabaseError
from django.utils import timezone

log = structlog.get_logger(__name__)
BEATS = 3  # renewals within one lease: two may fail


def name_of_this_worker() -> str:
    """Return a name no other holder has: host, process, and a random part."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(8)}"


def where(worker: str) -> str:
    """Return the host and process of a holder, for people."""
    return worker.rpartition(":")[0]


def until(seconds: float | None = None) -> datetime:
    """Return when a lease taken or renewed now ends."""
    return timezone.now() + timedelta(seconds=settings.JOB_LEASE_SECONDS if seconds is None else seconds)


@contextmanager
def kept_alive(renew: Callable[[], bool], seconds: float | None = None) -> Iterator[None]:
    """Call `renew` in a thread while the block runs, until it returns False; a killed process stops renewing."""
    lease = settings.JOB_LEASE_SECONDS if seconds is None else seconds
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(renew, over, lease / BEATS), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(renew: Callable[[], bool], over: threading.Event, pause: float) -> None:
    try:
        while not over.wait(pause):
            try:
                if not renew():
                    return  # lost: whoever works learns it when it next writes
            except DatabaseError:
                log.exception("lease.not_renewed")
                connection.close()
    finally:
        connection.close()  # of this thread
