"""Import of reference rows: checked line by line and staged by one person, let in by a second, a few hundred at a time.

Bad lines go to a quarantine file with line, field and error; good ones are kept whatever the others are."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from detection import reference as policy
from detection.fingerprint import fingerprint, shape_of, title_of
from detection.reference_file import LONGEST_LINE, BadField, ImportedRow, read_row
from detection.rules import RuleVerdict, rule_verdict
from detection.texts import storable
from jobs.models import Job
from jobs.services import jobs
from jobs.services.jobs import Lease
from labeling.models import ReferenceEvent, ReferenceImport, ReferenceRow
from labeling.models import Role as RowRole
from labeling.services import reference, reference_events
from labeling.services.records import from_json, moment, to_json
from labeling.services.reference_changes import DECIDERS, ChangeRefused, written
from models_registry.models import Detector
from models_registry.services import two_people
from models_registry.services.detectors import rules_in_force
from traffic import storage

TASK = "labeling.tasks.admit_import"
KIND = "import"
CELL = "imported"  # in the place of a board cell: no version of ours brought these rows
CHUNK = 500
FIRST_ERRORS = 20  # shown on the page; all of them stand in the quarantine file
QUOTED = 500  # characters of a bad line
State = ReferenceImport.State


# staging: one person


@dataclass
class _Staged:
    good: int = 0
    bad: int = 0
    known: int = 0
    errors: list[list[Any]] = field(default_factory=list)


def stage(detector: Detector, file: BinaryIO, name: str, by: User) -> ReferenceImport:
    """Check a file (JSON lines, plain or gzip, or Parquet) and keep its good lines for the second person.

    `file` can be read again from its start. The same file once more gives the import there is. Raises ChangeRefused."""
    if not by.has_role(*DECIDERS):
        raise ChangeRefused(_("Rows are imported by an engineer or a senior expert."))
    digest = _digest(file)
    imports = ReferenceImport.objects.filter(detector=detector, digest=digest).exclude(state=State.DECLINED)
    if there := imports.first():
        return there
    path = f"reference/imports/{detector.name}-{digest}.jsonl"
    with storage.writing(path) as good, storage.writing(f"{path}.bad") as bad:
        found = _sort(detector, _numbered(file), good, bad)
    try:
        with transaction.atomic():
            made = ReferenceImport.objects.create(
                detector=detector,
                name=storable(name, 255),
                digest=digest,
                path=path,
                quarantine_path=f"{path}.bad" if found.bad else "",
                good=found.good,
                bad=found.bad,
                known=found.known,
                first_errors=found.errors,
                by=by,
                role=by.role,
            )
            audit.record(by, "reference.import-staged", detector.name, digest=digest, good=found.good, bad=found.bad)
            return made
    except IntegrityError:  # the same file, by somebody who was faster
        return imports.get()


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(1 << 18):
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()


def _numbered(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yield lines by number: values, or a BadField for what is no JSON."""
    start = file.read(4)
    file.seek(0)
    if start == b"PAR1":
        yield from _parquet_rows(file)
        return
    lines: Any = gzip.GzipFile(fileobj=file) if start[:2] == b"\x1f\x8b" else file
    number = 0
    try:
        while line := lines.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                yield number, BadField("", f"longer than {LONGEST_LINE} bytes")
                while line and not line.endswith(b"\n"):
                    line = lines.readline(LONGEST_LINE)
            elif line.strip():
                yield number, _json(line)
    except (OSError, EOFError) as error:
        yield number + 1, BadField("", f"the file is torn here: {error}")


def _json(line: bytes) -> Any:
    try:
        return from_json(line.decode())
    except (ValueError, RecursionError) as error:
        return BadField("", f"no JSON: {error}")


def _parquet_rows(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=CHUNK):
            for values in batch.to_pylist():
                number += 1
                yield number, _unpacked(values)
    except (OSError, pa.ArrowException) as error:
        yield number + 1, BadField("", f"the file is torn here: {error}")


def _unpacked(values: dict[str, Any]) -> Any:
    """Return a Parquet row as a line has it: what is JSON inside is read, what is missing is left out."""
    told = {name: value for name, value in values.items() if value is not None}
    for name in ("row", "labels"):
        if isinstance(told.get(name), str):
            try:
                told[name] = from_json(told[name])
            except (ValueError, RecursionError) as error:
                return BadField(name, f"no JSON: {error}")
    return told


def _sort(detector: Detector, numbered: Iterator[tuple[int, Any]], good: BinaryIO, bad: BinaryIO) -> _Staged:
    found = _Staged()
    while chunk := list(islice(numbered, CHUNK)):
        read = [(number, values, _read(values, detector.protocol)) for number, values in chunk]
        there = _there(detector, [row.subject_key for _number, _values, row in read if isinstance(row, ImportedRow)])
        for number, values, row in read:
            if isinstance(row, ImportedRow) and (answer := there.get(row.subject_key)) not in (None, row.answer):
                row = BadField("answer", f"a row in force says {answer} about this session: dispute it first")
            if isinstance(row, BadField):
                found.bad += 1
                told = {"line": number, "field": row.field, "error": str(row)[:QUOTED]}
                bad.write(orjson.dumps({**told, "text": to_json(_quotable(values))[:QUOTED]}) + b"\n")
                if len(found.errors) < FIRST_ERRORS:
                    found.errors.append([number, storable(row.field), storable(str(row), QUOTED)])
            elif row.subject_key in there:
                found.known += 1
            else:
                found.good += 1
                good.write(to_json(values).encode() + b"\n")
    return found


def _quotable(values: Any) -> Any:
    return None if isinstance(values, BadField) else values


def _read(values: Any, protocol: str) -> ImportedRow | BadField:
    if isinstance(values, BadField):
        return values
    try:
        return read_row(values, protocol)
    except BadField as error:
        return error


def _there(detector: Detector, subjects: list[str]) -> dict[str, str]:
    """Return the answers in force about some sessions."""
    rows = ReferenceRow.objects.in_force().filter(detector=detector, subject_key__in=subjects)
    return dict(rows.values_list("subject_key", "answer"))


def quarantined(found: ReferenceImport) -> Iterator[bytes]:
    """Yield the bad lines as JSON, each with its number, field and error."""
    if found.quarantine_path:
        with storage.open_input(found.quarantine_path) as file:
            while piece := file.read(1 << 18):
                yield bytes(piece)


# letting in: a second person


def may_approve(found: ReferenceImport, user: User) -> bool:
    """Say whether this user is the second person that an import waits for."""
    return found.state == State.WAITING and two_people.may_approve(found, user)


@transaction.atomic
def approve(found: ReferenceImport, by: User, note: str = "") -> Job:
    """Agree as the second person; a job admits the rows, or goes on where one before ended. Raises ChangeRefused."""
    if found.state != State.APPROVED or not by.has_role(*DECIDERS):
        _decide(found, by, State.APPROVED, note)
    return jobs.start(TASK, f"import {found.pk}", {"import": found.pk}, kind=KIND, by=by)


@transaction.atomic
def decline(found: ReferenceImport, by: User, note: str) -> None:
    """Say no, or take one's own import back; the reason is kept. Raises ChangeRefused."""
    _decide(found, by, State.DECLINED, written(note))


def _decide(found: ReferenceImport, by: User, state: ReferenceImport.State, note: str) -> None:
    own = state == State.DECLINED and by.pk == found.by_id
    if not own and (not by.has_role(*DECIDERS) or (told := two_people.refusal(found, by))):
        raise ChangeRefused(told if by.has_role(*DECIDERS) else _("Imports are for an engineer and a senior expert."))
    waiting = ReferenceImport.objects.filter(pk=found.pk, state=State.WAITING)
    if not waiting.update(state=state, decided_by=by, decided_at=timezone.now(), note=storable(note, 4_000)):
        raise ChangeRefused(_("It is decided already."))
    audit.record(by, f"reference.import-{state.value}", found.detector.name, digest=found.digest)


def admit(lease: Lease) -> dict[str, Any]:
    """Do a job's admission. Rows that are in are skipped, so a second run goes on where the first one died."""
    found = ReferenceImport.objects.select_related("detector", "by", "decided_by").get(pk=lease.job.arguments["import"])
    seen = 0
    with storage.open_input(found.path) as stream:
        lines = io.BufferedReader(stream)
        while chunk := [from_json(line.decode()) for line in islice(lines, CHUNK)]:
            _admit_chunk(found, [read_row(values, found.detector.protocol) for values in chunk])
            seen += len(chunk)
            lease.progress(seen, found.good)
    return _finish(found)


@transaction.atomic
def _admit_chunk(found: ReferenceImport, rows: Iterable[ImportedRow]) -> None:
    detector = Detector.objects.select_for_update().get(pk=found.detector_id)
    looked = [(row, shape_of(row.row)) for row in rows]
    marks = {shape: fingerprint(detector.name, CELL, shape) for _row, shape in looked}
    known = ReferenceRow.objects.filter(detector=detector, subject_key__in=[row.subject_key for row, _shape in looked])
    judged = set(known.in_force().values_list("subject_key", flat=True))
    # what was retired, or learnt from, stays so
    retired = set(known.exclude(retired_at=None).values_list("digest", flat=True))
    regression = set(known.filter(role=RowRole.REGRESSION).values_list("subject_key", flat=True))
    alike = list(
        ReferenceRow.objects.in_force()
        .filter(detector=detector, fingerprint__in=set(marks.values()))
        .values_list("fingerprint", "host", "day")
    )
    pairs = Counter((mark, host) for mark, host, _day in alike)
    days = Counter((mark, day) for mark, _host, day in alike)
    rules = rules_in_force(detector)
    made = []
    for row, shape in looked:
        mark, host, day = marks[shape], (row.row["src_ip"] or "?")[:64], moment(row.row["start"]).date()
        refused = policy.refusal(rows_of_pair=pairs[mark, host], rows_of_day=days[mark, day], policy=reference.POLICY)
        if row.subject_key in judged or row.digest in retired or refused:
            continue
        judged.add(row.subject_key)
        pairs[mark, host] += 1
        days[mark, day] += 1
        made.append(
            ReferenceRow(
                detector=detector,
                imported=found,
                subject_key=row.subject_key,
                title=row.title or storable(title_of(row.row), 255),
                answer=row.answer,
                family=row.family,
                rule_hit=rule_verdict(row.row["hits"], rules.mapping, inspected=True) is RuleVerdict.HIT,
                role=RowRole.REGRESSION if row.subject_key in regression else reference.role_by_key(shape, host),
                shape=shape,
                fingerprint=mark,
                host=storable(host),
                day=day,
                sensor=row.sensor,
                source=row.source,
                protocol=row.row["protocol"],
                row=to_json(row.row),
                digest=row.digest,
            )
        )
    ReferenceRow.objects.bulk_create(made, batch_size=CHUNK)


@transaction.atomic
def _finish(found: ReferenceImport) -> dict[str, Any]:
    detector = Detector.objects.select_for_update().get(pk=found.detector_id)
    admitted = ReferenceRow.objects.filter(imported=found).count()
    figures = {"admitted": admitted, "left_out": found.good - admitted}
    approved = ReferenceImport.objects.filter(pk=found.pk, state=State.APPROVED)
    if approved.update(state=State.ADMITTED, **figures):
        reference_events.record(
            detector,
            ReferenceEvent.Kind.IMPORTED,
            found.decided_by,
            file=found.digest,
            source=found.name,
            proposed_by=found.by.username,
            rows=admitted,
        )
    return figures
