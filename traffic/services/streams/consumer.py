"""One consumer: source → spool → windows → segments. It may be killed at any moment.

The spool is written before the source may forget, and kept until the windows in it are sealed. A restart reads the
spool from its beginning and finds what was sealed by the name of each window: nothing is lost, nothing comes twice.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from detection.sources import suricata
from detection.sources.live import JoinedWindow, LiveReader
from detection.sources.reader import ReaderPolicy
from traffic import storage
from traffic.models import Intake, RuleSet, Segment, Stream
from traffic.services import ingest, rule_sets, runs
from traffic.services.streams import OtherReadsError, Position, Source, StreamPolicy
from traffic.services.streams.spool import Spool, SpoolInUseError, Window

log = structlog.get_logger(__name__)
DATABASE_AWAY = (OperationalError, InterfaceError)
AWAY = (*DATABASE_AWAY, OSError)  # of the store, or of the disk: they come back


def spool_folder(name: str) -> Path:
    """Return where a stream's spool lies: a folder of its own on this machine."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:80]
    return Path(settings.ETALON_SPOOL) / f"{words}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class Consumer:
    """Call `run`; another thread, or a signal, may call `stop`."""

    def __init__(self, source: Source, sensor: str, policy: StreamPolicy, rule_set: RuleSet | None = None) -> None:
        self._source = source
        self._policy = policy
        self._rule_set = rule_set
        self._sensor = rule_sets.sensor_named(sensor)
        self._row, _ = Stream.objects.get_or_create(
            name=source.name,
            defaults={"sensor": self._sensor, "unit": source.unit, "position": source.beginning()},
        )
        self._once = self._stopping = False
        self._more = True  # waits in the source, as far as we know
        self._is_empty = False  # it said so
        self._is_settled = False  # it knows what lies in the spool; until then no window is closed
        self._state = Stream.State.READING
        self._held = self._not_stored = ""  # why
        self._beat_at = self._retry_at = 0.0
        self._line_at: datetime | None = self._row.line_at
        self._caught_up_at = self._row.caught_up_at
        self._joined: list[tuple[JoinedWindow, Window]] = []  # not stored yet
        self._read_up_to = 0  # number of the last window that the reader knows

    def stop(self) -> None:
        """End soon: what was read lies in the spool, and a next start goes on from there."""
        self._stopping = True

    def run(self, *, once: bool = False) -> None:
        """Read until `stop`, or, once, until the source is empty and everything is stored."""
        self._once = once
        runs.discard_leftovers()
        with Spool(spool_folder(self._source.name)) as self._spool:
            self._claim_name()
            if self._spool.position is None:
                self._spool.position = self._row.position
            policy, resumes = _reader_policy(self._policy), self._spool.resumes
            self._reader = LiveReader(self._rules_known(), policy=policy, resumes=resumes)
            log.info("stream.began", stream=self._source.name, sensor=self._sensor.name, spooled=self._spool.size)
            try:
                while not self._stopping:
                    self._turn_over()
                    if once and self._is_empty:
                        break
                if once and not self._stopping:
                    self._finish()
            finally:
                self._state, self._held = Stream.State.STOPPED, ""
                self._beat()
                self._source.close()
                self._reader.close()
                log.info("stream.ended", stream=self._source.name, spooled=self._spool.size)

    def _turn_over(self) -> None:
        """Take a batch, close what is due, store what is closed."""
        if self._is_settled or self._try(self._settle):
            if reason := self._why_full():
                self._hold(reason)
            else:
                self._try(self._take)
        if self._is_settled and self._is_due():
            self._spool.close_window()
        self._store_closed()
        if time.monotonic() >= self._beat_at:
            self._beat()

    def _claim_name(self) -> None:
        """Two spools under one name would take each other's lines."""
        row = self._row
        if row.spool not in ("", self._spool.token) and row.is_alive(timezone.now()):
            raise SpoolInUseError(f"{row.name}: another machine consumes under this name; choose another --consumer")
        Stream.objects.filter(pk=row.pk).update(spool=self._spool.token, seen_at=timezone.now())

    def _finish(self) -> None:
        """Close everything and store it, however long the database is away."""
        if self._spool.lines:
            self._spool.close_window()
        while self._spool.empty_windows < 2:
            self._spool.close_window()
        while not self._stopping:
            self._store_closed()
            if not self._joined and not self._unread():
                break
            time.sleep(self._policy.poll_seconds)

    # --- reading

    def _try(self, verb: Callable[[], None]) -> bool:
        """Do one thing with the source; False, and held back for a moment, when it does not answer."""
        try:
            verb()
        except OtherReadsError as other:
            self._state, self._held = Stream.State.WAITING, str(other)
            self._note_empty()
        except (redis.RedisError, OSError) as error:
            if self._once:
                raise
            self._hold(f"{type(error).__name__}: {error}")
            return False
        return True

    def _hold(self, reason: str) -> None:
        """Read nothing for a moment; the source keeps it meanwhile."""
        if self._once and not self._unread():
            raise OSError(reason)  # nobody would wait for its end
        if self._held != reason:
            log.warning("stream.held", stream=self._source.name, reason=reason)
        self._state, self._held, self._more = Stream.State.HELD, reason, False
        time.sleep(self._policy.poll_seconds)

    def _settle(self) -> None:
        """Tell the source what is spooled, before anything else: also a batch of which it could not hear earlier."""
        if self._spool.position is not None and (lost := self._source.settle(self._spool.position)):
            self._spool.lose(lost)
        self._is_settled = True

    def _take(self) -> None:
        batch = self._source.take(self._spool.position)
        self._state, self._held = Stream.State.READING, ""
        if batch is None:
            if not self._source.is_waiting():
                self._note_empty()
            return
        self._spool.append(batch.lines, batch.position)
        self._is_settled = False
        self._line_at = timezone.now()
        self._is_empty, self._more = False, batch.more
        if not batch.more:
            self._caught_up_at = timezone.now()
        self._settle()

    def _note_empty(self) -> None:
        self._is_empty, self._more, self._caught_up_at = True, False, timezone.now()

    def _why_full(self) -> str:
        """Return why nothing may be read now."""
        policy = self._policy
        if self._spool.size > policy.spool_bytes:
            return "the spool is full"
        folders = [self._spool.folder]
        if settings.ETALON_STORAGE.startswith("file://"):
            folders.append(storage.local_path("segments"))
        for folder in folders:
            if shutil.disk_usage(_existing(folder)).free < policy.free_bytes:
                return "the disk is nearly full"
        return ""

    # --- windows

    def _is_due(self) -> bool:
        """Return whether a window has to be closed: by its size, by its age, or because nothing comes any more."""
        spool, policy = self._spool, self._policy
        now = time.time()
        if spool.began_at is None:
            return spool.empty_windows < 2 and now - spool.closed_at >= policy.window_seconds
        if spool.bytes >= policy.window_bytes_most:
            return True
        if now - spool.began_at >= policy.window_seconds and (not self._more or self._is_long()):
            return True
        if spool.lines < policy.window_lines:
            return False
        return spool.bytes >= policy.window_bytes or self._is_long()

    def _is_long(self) -> bool:
        """Return whether the window spans enough time of the log itself."""
        began, ended = suricata.time_of(self._spool.first_line), suricata.time_of(self._spool.last_line)
        return began is None or ended is None or abs(ended - began) >= self._policy.window_seconds * 1_000_000

    def _unread(self) -> list[Window]:
        return [window for window in self._spool.closed if window.number > self._read_up_to]

    def _store_closed(self) -> None:
        """Read closed windows and store those whose neighbours are known; try again later what cannot be stored now."""
        if time.monotonic() < self._retry_at:
            return
        while not self._stopping and (self._joined or self._unread()):
            if not self._joined:
                self._read_next(self._unread()[0])
            if self._joined and not self._store(*self._joined[0]):
                self._retry_at = time.monotonic() + self._policy.retry_seconds
                return
            for joined, _ in self._joined:
                joined.close()
            self._joined.clear()

    def _read_next(self, window: Window) -> None:
        before = next((one for one in reversed(self._spool.closed) if one.number < window.number), None)
        with ingest.without_cycle_search():
            joined = self._reader.read(self._spool.digest(window), window.blocks(), lambda: window.problem)
        if window.problem:
            log.error("spool.damaged", path=str(window.path))
        self._read_up_to = window.number
        if joined is not None and before is not None:
            self._joined.append((joined, before))

    def _store(self, joined: JoinedWindow, window: Window) -> bool:
        """Make a window's sessions visible at once, and forget the window two before; False when it cannot be now."""
        began = time.perf_counter()
        try:
            if not joined.is_empty and not Intake.objects.filter(digest=joined.digest).exists():
                name = f"{self._source.name}, window {window.number}"
                ended = _end_of(window)
                ingest.keep(
                    joined,
                    joined.chunks,
                    name,
                    self._sensor.name,
                    self._sensor,
                    self._rule_set,
                    also=lambda: Stream.objects.filter(pk=self._row.pk).update(position=ended),
                )
                self._tell(joined, window, began)
        except AWAY as error:
            connections.close_all()
            self._not_stored = f"cannot store: {type(error).__name__}"
            log.warning("stream.not_stored", stream=self._source.name, window=window.number, error=str(error))
            return False
        self._not_stored = ""
        self._spool.drop_before(window.number - 1)
        return True

    def _tell(self, joined: JoinedWindow, window: Window, began: float) -> None:
        counts = joined.counts
        log.info(
            "stream.stored",
            stream=self._source.name,
            window=window.number,
            lines=counts.lines,
            sessions=counts.http + counts.tls,
            rule_hits=counts.rule_hits,
            orphan_hits=counts.orphan_hits,
            rejected=counts.rejected,
            seconds=round(time.perf_counter() - began, 3),
        )

    def _rules_known(self) -> dict[int, dict[str, Any]]:
        """Where nobody declared the rules, those that spoke before this start still run."""
        if self._rule_set is not None or self._sensor.rule_set is not None:
            return {}
        inferred = Segment.objects.sealed().filter(sensor=self._sensor, rule_set__declared=False)
        newest = inferred.order_by("-created_at", "-id").first()  # a merged one has the age of what it was merged of
        if newest is None or newest.rule_set is None:
            return {}
        return {rule["sid"]: rule for rule in rule_sets.rule_index(newest.rule_set)}

    # --- heartbeat

    def _beat(self) -> None:
        """Write how things are; a beat that cannot be written is missed on the health page."""
        self._beat_at = time.monotonic() + self._policy.beat_seconds
        reason = "; ".join(filter(None, (self._held, self._not_stored)))[:255]
        told: dict[str, Any] = {"state": self._state, "reason": reason, "sensor": self._sensor}
        told |= {"seen_at": timezone.now(), "caught_up_at": self._caught_up_at, "line_at": self._line_at}
        told |= {"spool_bytes": self._spool.size}
        with suppress(redis.RedisError, OSError):  # then the last known one stays
            told["lag"] = self._source.lag()
        try:
            Stream.objects.filter(pk=self._row.pk).update(**told)
        except DATABASE_AWAY as error:
            connections.close_all()
            log.warning("stream.no_heartbeat", stream=self._source.name, error=str(error))


def _reader_policy(policy: StreamPolicy) -> ReaderPolicy:
    return ReaderPolicy(max_line=policy.line_bytes)


def _end_of(window: Window) -> Position | None:
    """Return the last position of a window, without the ids that only the spool can use."""
    position: Position | None = None
    for header in window.headers():
        position = {name: value for name, value in header["position"].items() if name != "ids"}
    return position


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())
