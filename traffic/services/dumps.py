"""Saved captures: read by Suricata, taken in as dumps, known by the digest of the capture itself."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, BinaryIO

from detection.sources import captures
from detection.sources.lines import GZIP_MAGIC
from detection.sources.suricata_reader import Reader
from traffic.models import Intake, Kind, RuleSet, Sensor
from traffic.services import rule_sets, runs, suricata
from traffic.services.ingest import FileResult, path_text, source_of, take_in

UNPACKED_BYTES = 20 << 30  # a gzipped capture that holds more is not one
_BLOCK = 1 << 20
_SUFFIXES = (".pcap", ".pcapng", ".cap")


class _EveOfCapture(Reader):
    """What Suricata made of a capture differs in its flow numbers from run to run: the capture's digest names it."""

    def __init__(self, eve: BinaryIO, capture: str) -> None:
        super().__init__(eve)
        self._capture = capture

    @property
    def digest(self) -> str:
        return self._capture


def is_capture(path: Path) -> bool:
    """Say whether a file begins as a capture does, plain or gzipped; its name means nothing."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(4)
            if head.startswith(GZIP_MAGIC):
                file.seek(0)
                head = gzip.GzipFile(fileobj=file).read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return captures.is_capture(head)


def digest_of(path: Path) -> str:
    """Return what names a dump: the SHA-256 of its file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ingest(path: Path, sensor: str, rule_set: RuleSet | None = None) -> FileResult:
    """Take a capture in as a dump. Raises SuricataError when it, or the program, will not do."""
    name, digest = path_text(path), digest_of(path)
    # uploaded as a log it was refused, and may be read now
    known = Intake.objects.filter(digest=digest).exclude(lines=0, rejected__gt=0).first()
    if known is not None:
        return FileResult(name, duplicate=True, intake=known.pk)
    runs.discard_leftovers()
    owner = rule_sets.sensor_named(sensor)
    rules = suricata.rules()
    if rules is not None:
        rule_set = rule_sets.add_rule_set(rules)
    with _unpacked(path) as capture:
        _refuse_faulty(capture, path)
        return _read(capture, digest, name, owner, rule_set)


def _refuse_faulty(capture: Path, path: Path) -> None:
    with capture.open("rb") as file:
        fault = captures.fault_of(file.read(captures.HEAD))
    if fault is not None:
        raise suricata.SuricataError(f"{path}: no capture that can be read: {fault}")


def _read(capture: Path, digest: str, name: str, owner: Sensor, rule_set: RuleSet | None) -> FileResult:
    with suricata.eve_of(capture) as eve, eve.open("rb", buffering=0) as stream:
        return take_in(_EveOfCapture(stream, digest), name, owner, rule_set, source=_source(name), kind=Kind.DUMP)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    with path.open("rb") as file:
        if not file.read(2).startswith(GZIP_MAGIC):
            yield path
            return
        file.seek(0)
        with TemporaryDirectory(prefix="etalon-dump-") as folder:
            capture = Path(folder) / path.name.removesuffix(".gz")  # the name it had is what its sessions tell
            try:
                with capture.open("wb") as target:
                    _unpack(gzip.GzipFile(fileobj=file), target)
            except (OSError, EOFError, zlib.error) as error:
                raise suricata.SuricataError(f"{path}: cannot be unpacked: {error}") from None
            yield capture


def _unpack(packed: gzip.GzipFile, target: IO[bytes]) -> None:
    written = 0
    while block := packed.read(_BLOCK):
        written += len(block)
        if written > UNPACKED_BYTES:
            raise OSError(f"it holds more than {UNPACKED_BYTES >> 30} GiB")
        target.write(block)


def _source(name: str) -> str:
    stem = source_of(name)
    for suffix in _SUFFIXES:
        if stem.lower().endswith(suffix) and len(stem) > len(suffix):
            return stem[: -len(suffix)]
    return stem
