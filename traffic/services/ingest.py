"""Taking logs in: one reading pass per file, stored whole or not at all, the same bytes once."""

from __future__ import annotations

import gc
import gzip
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from django.db import IntegrityError, transaction
from django.utils import timezone

from detection.sources.lines import UPLOAD
from detection.sources.logs import open_log
from detection.sources.reader import Chunk, Counts, LogReader, ReaderPolicy
from detection.sources.zeek_companions import Companions
from traffic import storage
from traffic.models import Intake, Kind, RuleSet, Segment, Sensor
from traffic.services import rule_sets, runs
from traffic.services.log_sets import LogSet, sets_of
from traffic.services.segments import SegmentWriter

LOCAL_POLICY = ReaderPolicy()
UPLOAD_POLICY = ReaderPolicy(limits=UPLOAD)
DEFAULT_SENSOR = "default"
_SUFFIXES = (".gz", ".json", ".jsonl", ".eve")


@dataclass(slots=True)
class FileResult:
    """What became of one file. The counts are what it added: a duplicate added nothing."""

    path: str
    sessions: int = 0
    http: int = 0
    tls: int = 0
    rule_hits: int = 0
    rejected: int = 0
    duplicate: bool = False
    seconds: float = 0.0
    orphan_hits: int = 0
    inspected: bool = False
    reasons: dict[str, int] = field(default_factory=dict)
    intake: int | None = None  # its row; of a duplicate, the row of the first time
    other: dict[str, int] = field(default_factory=dict)  # records that are no sessions, by type
    note: str = ""


class Told(Protocol):
    """What a reader tells of a log: of one that ended, or of a window of one that never does."""

    @property
    def digest(self) -> str: ...
    @property
    def refused(self) -> str | None: ...
    @property
    def counts(self) -> Counts: ...
    @property
    def quarantine(self) -> Iterator[bytes]: ...
    @property
    def orphans(self) -> Iterator[bytes]: ...
    @property
    def rules_seen(self) -> Mapping[int, Mapping[str, Any]]: ...
    @property
    def is_inspected(self) -> bool: ...
    @property
    def has_rules(self) -> bool: ...


def ingest_paths(
    paths: Iterable[str | Path], sensor: str = DEFAULT_SENSOR, rule_set: RuleSet | None = None
) -> list[FileResult]:
    """Take in files, and every file in folders; return what became of each."""
    return list(ingest_each(paths, sensor, rule_set))


def ingest_each(
    paths: Iterable[str | Path], sensor: str = DEFAULT_SENSOR, rule_set: RuleSet | None = None
) -> Iterator[FileResult]:
    """Take in files one by one, telling of each as soon as it is stored; FileNotFoundError before anything is read."""
    files = list(files_in(paths))
    runs.discard_leftovers()
    owner = rule_sets.sensor_named(sensor)
    for log_set in sets_of(files):
        yield from _ingest_set(log_set, owner, rule_set)


def files_in(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Yield the files named, and all regular files of folders named, sorted; hidden ones only when named themselves."""
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(
                found
                for found in path.rglob("*")
                if found.is_file() and not any(part.startswith(".") for part in found.relative_to(path).parts)
            )
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"{path}: no such file or folder")


def _ingest_set(log_set: LogSet, sensor: Sensor, rule_set: RuleSet | None) -> Iterator[FileResult]:
    """Take in files that tell about one another. Companions are read again where there are new sessions to join."""
    if not log_set.companions:
        for path in log_set.others:
            yield _ingest_file(path, sensor, rule_set, log_set.source)
        return
    known = [path for path in log_set.others if _known(path, path_text(path))]
    companions = Companions()
    try:
        for path in log_set.companions:
            result = _ingest_file(path, sensor, rule_set, log_set.source, companions)
            if result.duplicate and len(known) < len(log_set.others):
                result.note = _read_again(path, companions)
            elif known and not result.duplicate:
                names = ", ".join(path.name for path in known)
                result.note = f"taken in after {names}, whose sessions are stored without what it tells"
            yield result
        for path in log_set.others:
            yield _ingest_file(path, sensor, rule_set, log_set.source, companions)
    finally:
        companions.close()


def _read_again(path: Path, companions: Companions) -> str:
    """Let companions know what a file tells that was taken in before; return what went wrong."""
    try:
        with path.open("rb", buffering=0) as stream:
            reader = open_log(stream, policy=LOCAL_POLICY, companions=companions)
            for _ in reader:
                pass
            reader.close()
    except OSError as error:
        return f"could not be read again for new sessions: {error.strerror or error}"
    return ""


def _ingest_file(
    path: Path,
    sensor: Sensor,
    rule_set: RuleSet | None,
    source: str | None = None,
    companions: Companions | None = None,
) -> FileResult:
    began = time.perf_counter()
    name = path_text(path)
    try:
        if known := _known(path, name):
            return FileResult(name, duplicate=True, seconds=round(time.perf_counter() - began, 3), intake=known)
        with path.open("rb", buffering=0) as stream:
            return ingest_stream(stream, name, sensor, rule_set, source=source, companions=companions)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        return FileResult(name, rejected=1, reasons={reason: 1}, seconds=round(time.perf_counter() - began, 3))


def ingest_stream(
    stream: BinaryIO,
    name: str,
    sensor: Sensor,
    rule_set: RuleSet | None = None,
    policy: ReaderPolicy = LOCAL_POLICY,
    *,
    source: str | None = None,
    companions: Companions | None = None,
) -> FileResult:
    """Take in one log from any stream; uploads come with `UPLOAD_POLICY` and may raise `TooMuchUnpackedError`."""
    return take_in(open_log(stream, policy=policy, companions=companions), name, sensor, rule_set, source=source)


def take_in(
    reader: LogReader,
    name: str,
    sensor: Sensor,
    rule_set: RuleSet | None = None,
    *,
    source: str | None = None,
    kind: Kind = Kind.TRAFFIC,
) -> FileResult:
    """Store what a reader reads, and close it."""
    began = time.perf_counter()
    try:
        intake = keep(reader, reader, name, source or source_of(name), sensor, rule_set, kind=kind)
    finally:
        reader.close()
    if intake is None:
        known = Intake.objects.filter(digest=reader.digest).values_list("pk", flat=True).first()
        return FileResult(name, duplicate=True, seconds=round(time.perf_counter() - began, 3), intake=known)
    return _result(intake, reader, reader.is_inspected or (reader.has_rules and bool(rule_set or sensor.rule_set)))


def keep(
    told: Told,
    chunks: Iterable[Chunk],
    name: str,
    source: str,
    sensor: Sensor,
    rule_set: RuleSet | None = None,
    *,
    kind: Kind = Kind.TRAFFIC,
    also: Callable[[], object] = lambda: None,
) -> Intake | None:
    """Store chunks, and what is told when they came to their end, at once; None when this was kept before.

    What `also` writes to the database becomes true together with it."""
    began = time.perf_counter()
    with runs.Run() as run:
        writer = SegmentWriter(runs.path_in(run, ""), sensor=sensor, source=source, kind=kind)
        try:
            with without_cycle_search(), writer:
                for chunk in chunks:
                    writer.add(chunk)
            seconds = round(time.perf_counter() - began, 3)
            rule_set = (rule_set or sensor.rule_set or _inferred(told)) if told.has_rules else None
            intake = _seal(told, writer.segments, name, sensor, rule_set, seconds, kind, also)
        except BaseException:
            runs.drop(run.name)
            raise
        if intake is None:
            runs.drop(run.name)
        return intake


def _inferred(reader: Told) -> RuleSet | None:
    """Where nobody said which rules ran: a log in which a threat rule spoke was inspected; of others we cannot tell."""
    return rule_sets.inferred_rule_set(reader.rules_seen) if reader.is_inspected else None


def _seal(
    reader: Told,
    stored: Sequence[Segment],
    name: str,
    sensor: Sensor,
    rule_set: RuleSet | None,
    seconds: float,
    kind: Kind,
    also: Callable[[], object],
) -> Intake | None:
    """Make everything of one file visible at once; None when its bytes were taken in before, or meanwhile."""
    if _is_duplicate(reader.digest, refused=reader.refused is not None):
        return None
    counts = reader.counts
    # before the row that names them; a file without a row is harmless, the same bytes write it again
    quarantine_path = put_packed(f"quarantine/{reader.digest}.jsonl.gz", reader.quarantine)
    orphans_path = put_packed(f"orphans/{reader.digest}.jsonl.gz", reader.orphans)
    try:
        with transaction.atomic():
            # a file that was refused whole may be readable now
            Intake.objects.filter(digest=reader.digest, lines=0, rejected__gt=0).delete()
            intake = Intake.objects.create(
                digest=reader.digest,
                path=name[:1000],
                kind=kind,
                sensor=sensor,
                lines=counts.lines,
                http=counts.http,
                tls=counts.tls,
                rule_hits=counts.rule_hits,
                orphan_hits=counts.orphan_hits,
                rejected=counts.rejected,
                other=dict(counts.other),
                reject_reasons=dict(counts.reasons),
                quarantine_path=quarantine_path,
                orphans_path=orphans_path,
                seconds=seconds,
            )
            pks = [segment.pk for segment in stored]
            Segment.objects.filter(pk__in=pks).update(intake=intake, rule_set=rule_set, sealed_at=timezone.now())
            also()
    except IntegrityError:
        if not Intake.objects.filter(digest=reader.digest).exists():
            raise
        return None  # another process was faster
    return intake


def _is_duplicate(digest: str, *, refused: bool) -> bool:
    known = Intake.objects.filter(digest=digest)
    return known.exists() if refused else known.exclude(lines=0, rejected__gt=0).exists()


def _known(path: Path, name: str) -> int | None:
    """Return the intake of this very file, if it was read before; where its name is known, a digest is cheap."""
    known = Intake.objects.filter(path=name[:1000]).exclude(lines=0, rejected__gt=0)
    if not known.exists():
        return None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    whole = Intake.objects.filter(digest=digest).exclude(lines=0, rejected__gt=0)
    return whole.values_list("pk", flat=True).first()


def put_packed(path: str, blocks: Iterator[bytes]) -> str:
    """Store blocks as gzip, nothing when there are none; return the path, or an empty one."""
    first = next(blocks, None)
    if first is None:
        return ""
    # no time inside: two processes that read the same bytes write the same file
    with storage.writing(path) as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
        packed.write(first)
        packed.writelines(blocks)
    return path


def _result(intake: Intake, reader: LogReader, inspected: bool) -> FileResult:
    counts = reader.counts
    return FileResult(
        path=intake.path,
        sessions=intake.sessions,
        http=counts.http,
        tls=counts.tls,
        rule_hits=counts.rule_hits,
        rejected=counts.rejected,
        seconds=intake.seconds,
        orphan_hits=counts.orphan_hits,
        inspected=inspected,
        reasons=dict(counts.reasons),
        intake=intake.pk,
        other=dict(counts.other),
    )


@contextmanager
def without_cycle_search() -> Iterator[None]:
    """Millions of small tuples make Python search for cycles, and the reader builds none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def path_text(path: Path) -> str:
    """Return a path as text that every database takes: odd bytes of file names become U+FFFD."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "")


def source_of(name: str) -> str:
    """Return what leave-one-source-out calls this file: its name without .eve, .json, .gz."""
    stem = Path(name).name
    while (shorter := _without_suffix(stem)) != stem:
        stem = shorter
    return stem[:100]


def _without_suffix(name: str) -> str:
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def as_report(results: Sequence[FileResult]) -> dict[str, Any]:
    """Return results as the command prints them in JSON."""
    files = [{name: getattr(result, name) for name in FileResult.__slots__} for result in results]
    return {
        "files": files,
        "sessions": sum(result.sessions for result in results),
        "rejected": sum(result.rejected for result in results),
        "seconds": round(sum(result.seconds for result in results), 3),
    }
