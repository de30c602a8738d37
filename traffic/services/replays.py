"""Replaying a quarantine: today's reader may read what an earlier one set aside. That is stored, the rest stays."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, cast

from django.db import transaction
from django.utils.translation import gettext_noop

from accounts.models import User
from accounts.services import audit
from detection.sources.logs import open_log
from detection.sources.reader import TOO_LONG, TWICE, ReaderPolicy, Rejected
from jobs.models import Job
from jobs.services import jobs
from jobs.services.jobs import Lease
from traffic import storage
from traffic.models import Intake, Kind
from traffic.services import quarantine
from traffic.services.ingest import Told, keep, put_packed, source_of

TASK = "traffic.tasks.replay_quarantine"
KIND = gettext_noop("replay")
_POLICY = ReaderPolicy(arrays=False)  # a torn line may begin like one
_SPOOL = 32 << 20


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of a quarantine."""

    log: int
    read: int  # lines that are read now
    left: int
    intake: int | None = None  # where their sessions are counted
    sessions: int = 0
    rule_hits: int = 0


class Overtaken(Exception):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Somebody replayed the same quarantine meanwhile: nothing of this run is kept."""


def may_be_replayed(intake: Intake) -> bool:
    """Whether there is something to read again.

    Of a file that was refused whole only the beginning was kept, and a dump is judged as a whole: both are taken in
    again instead."""
    return bool(intake.quarantine_path) and intake.lines > 0 and intake.kind == Kind.TRAFFIC


@transaction.atomic
def start(intake: Intake, by: User) -> Job:
    """Replay a quarantine by a worker."""
    audit.record(by, "quarantine.replayed", str(intake), log=intake.pk)
    return jobs.start(TASK, _run_key(intake), {"intake": intake.pk}, kind=KIND, by=by)


def newest_job(intake: Intake) -> Job | None:
    return Job.objects.filter(run_key=_run_key(intake)).order_by("-id").first()


def work(lease: Lease) -> dict[str, Any]:
    """Do a job's replay; another one that was faster leaves less to do."""
    intake = Intake.objects.select_related("sensor").get(pk=lease.job.arguments["intake"])
    return {"replay": asdict(replay(intake))}


def replay(intake: Intake) -> Replay:
    """Read a quarantine again. Doing it twice, or at once, stores nothing twice: what was read is no longer in it."""
    bad = _still_bad(intake)
    total = sum(1 for _ in quarantine.rejected(intake))
    if len(bad) == total or not may_be_replayed(intake):
        return Replay(intake.pk, 0, total)
    try:
        stored = _store(intake, bad)
    except Overtaken:
        stored = None
    if stored is None:
        left = Intake.objects.values_list("rejected", flat=True).get(pk=intake.pk)
        return Replay(intake.pk, 0, left)
    return Replay(intake.pk, total - len(bad), len(bad), stored.pk, stored.sessions, stored.rule_hits)


def _still_bad(intake: Intake) -> set[int]:
    """Return the places in the quarantine of what cannot be read today either."""
    owners: list[int] = []  # of each line, its place
    bad = set()
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as file:
        file.write(b"\n")  # so that no torn line is taken for the beginning of a gzip
        for place, one in enumerate(quarantine.rejected(intake)):
            if not _may_be_read(one):
                bad.add(place)
            header, line = _parts(one)
            for text in (*header, *([line] if place not in bad else ())):
                file.write(text + b"\n")
                owners.append(place)
        file.seek(0)
        reader = open_log(cast(BinaryIO, file), policy=_POLICY)
        try:
            for _ in reader:
                pass
            if reader.refused is not None:
                return set(range(place + 1)) if owners else bad
            return bad | {owners[one.line - 2] for one in reader.rejected if one.line is not None}
        finally:
            reader.close()


def _may_be_read(one: Rejected) -> bool:
    """A line that came twice is stored already; of one that was too long only its head was kept."""
    return bool(one.line is not None and one.data and one.reason != TWICE and not one.reason.startswith(TOO_LONG))


def _parts(one: Rejected) -> tuple[list[bytes], bytes]:
    """Return the header that the first rejected line of a Zeek log carries, and the line itself."""
    *before, line = one.data.split(b"\n")
    header = [text for text in before if text.startswith(b"#")]
    return header, line if header else one.data.replace(b"\n", b" ")


class _Replayed:
    """What the reader tells, under a name of its own: equal lines of another log are others."""

    def __init__(self, reader: Told, name: str) -> None:
        self._reader = reader
        self._name = name

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self._name} {self._reader.digest}".encode()).hexdigest()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def _store(intake: Intake, bad: set[int]) -> Intake | None:
    segment = intake.segments.select_related("rule_set").first()
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as file:
        file.write(b"\n")
        for place, one in enumerate(quarantine.rejected(intake)):
            header, line = _parts(one)
            file.writelines(text + b"\n" for text in (*header, *([] if place in bad else [line])))
        file.seek(0)
        reader = open_log(cast(BinaryIO, file), policy=_POLICY)
        told = cast(Told, _Replayed(reader, f"replay of {intake.digest} {intake.quarantine_path}"))
        rest, reasons = _rest(intake, bad)
        path = ""

        def shorten() -> None:
            """Whoever finds the quarantine as it was read takes the lines out of it."""
            nonlocal path
            path = put_packed(f"quarantine/{intake.digest}.{told.digest[:16]}.jsonl.gz", rest)
            as_read = Intake.objects.filter(pk=intake.pk, quarantine_path=intake.quarantine_path)
            if not as_read.update(quarantine_path=path, rejected=len(bad), reject_reasons=dict(reasons)):
                raise Overtaken
            Intake.objects.filter(digest=told.digest).update(replay_of=intake)

        try:
            stored = keep(
                told,
                reader,
                intake.path,
                segment.source if segment else source_of(intake.path),
                intake.sensor,
                segment.rule_set if segment else None,
                also=shorten,
            )
        finally:
            reader.close()
    if stored is not None:
        storage.delete(intake.quarantine_path)
    return stored


def _rest(intake: Intake, bad: set[int]) -> tuple[Iterator[bytes], Counter[str]]:
    """Return the lines that stay, with the reasons they had, and how many there are of each."""
    reasons: Counter[str] = Counter()
    for place, one in enumerate(quarantine.rejected(intake)):
        if place in bad:
            reasons[one.reason] += 1
    return _lines_of_rest(intake, bad), reasons


def _lines_of_rest(intake: Intake, bad: set[int]) -> Iterator[bytes]:
    carried: list[bytes] = []  # the header of a Zeek log goes with the first line that stays
    for place, one in enumerate(quarantine.rejected(intake)):
        header, line = _parts(one)
        carried += header
        if place in bad:
            data = b"\n".join([*carried, line]) if header or carried else one.data
            yield Rejected(one.line, one.reason, data).to_json()
            carried = []


def _run_key(intake: Intake) -> str:
    return f"replay {intake.pk}"
