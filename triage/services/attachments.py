"""Evidence as files: checked by content and size, kept in the store outside the web root, read and never executed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from accounts.models import User
from detection import evidence
from detection.evidence import Kind, Read, Refused
from detection.evidence_remarks import Remark
from detection.texts import storable
from traffic import storage
from traffic.services import suricata
from triage.models import Attachment, Complaint, remarks
from triage.services import seals

MOST = 10  # files of one message
_KEPT = frozenset({"no-session", "bad-kit", "bad-vector", "torn", "no-suricata"})  # a person may still want to look


@dataclass(frozen=True, slots=True)
class File:
    """What somebody attached, with what could be read of it."""

    name: str
    data: bytes
    read: Read | None  # None: refused
    refusal: str = ""
    remarks: tuple[Remark, ...] = ()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def told(self) -> str:
        """What became of it, in the language of who asks."""
        return remarks.told(remarks.kept(self.remarks))


def examine(files: Iterable[tuple[str, bytes]], received: datetime) -> list[File]:
    """Read attachments; mails are opened once, and what is in them stands beside the others."""
    found: list[File] = []
    for name, data in files:
        if len(found) >= MOST:
            found.append(File(name, b"", None, "too-many", (Remark("too-many", {"most": MOST}),)))
            break
        found += _mail(name, data, received) if evidence.is_mail(data) else [_one(name, data, received)]
    return found


def _mail(name: str, data: bytes, received: datetime) -> list[File]:
    try:
        mail = evidence.read_mail(data)
    except Refused as refusal:
        return [File(name, data, None, refusal.code, (refusal.remark,))]
    told = (Remark("mail-of", {"sender": mail.sender, "subject": mail.subject}),)
    inside = [_one(inner, part, received) for inner, part in mail.attachments[:MOST]]
    return [File(name, data, Read(Kind.MAIL), remarks=told), *inside]


def _one(name: str, data: bytes, received: datetime) -> File:
    try:
        read = evidence.read(data, received)
        if read.kind is Kind.CAPTURE:
            read = _sessions_of(data, received)
    except Refused as refusal:
        return File(name, data, None, refusal.code, (refusal.remark,))
    return File(name, data, read, remarks=_remarks(read))


def _sessions_of(capture: bytes, received: datetime) -> Read:
    """Return the sessions that Suricata finds in a capture. Raises Refused."""
    with tempfile.TemporaryDirectory(prefix="etalon-evidence-") as folder:
        path = Path(folder) / "evidence.pcap"
        path.write_bytes(capture)
        try:
            with suricata.eve_of(path) as log:
                told = log.read_bytes()[: evidence.LARGEST]
        except suricata.SuricataError as error:
            code = "no-suricata" if "no program" in str(error) else "torn"
            raise Refused(code, "suricata", error=str(error).replace(str(path), "the capture")) from None
    sessions = [line for line in told.splitlines() if b'"http":{' in line or b'"tls":{' in line]
    if not sessions:
        raise Refused("no-session", "capture-without")
    ends = [line for line in told.splitlines() if b'"event_type":"flow"' in line]
    return replace(evidence.read(b"\n".join(sessions + ends), received), kind=Kind.CAPTURE)


def _remarks(read: Read) -> tuple[Remark, ...]:
    if read.kit is not None and not read.records:
        return (Remark("features", {"n": len(read.kit.features)}),)
    skipped = (Remark("skipped", {"n": read.skipped}),) if read.skipped else ()
    return (Remark("sessions", {"n": len(read.records)}), *skipped, *read.notes)


def keep(complaint: Complaint, files: Sequence[File], by: User | None) -> list[Attachment]:
    """Store attachments of a complaint under names of our own; what nobody should open is not stored."""
    return [_keep(complaint, file, by) for file in files]


def _keep(complaint: Complaint, file: File, by: User | None) -> Attachment:
    sealed = seals.of(file.read, complaint.customer)
    path = ""
    if file.data and (file.read is not None or file.refusal in _KEPT):
        path = f"evidence/{complaint.pk}/{file.digest}"
        storage.put_bytes(path, file.data)
    return Attachment.objects.create(
        complaint=complaint,
        name=storable(" ".join(file.name.split()) or "–", 200),
        kind=file.read.kind if file.read else "",
        refusal=file.refusal,
        remarks=_storable(remarks.kept(file.remarks)),
        seal=sealed.seal if sealed else "",
        appliance=sealed.appliance if sealed else None,
        size=len(file.data),
        digest=file.digest,
        path=path,
        by=by,
    )


def _storable(rows: list[list[Any]]) -> list[list[Any]]:
    """Return remarks without what a database refuses: names in mails and errors quote what was sent."""
    return [
        [code, {name: storable(value, 400) if isinstance(value, str) else value for name, value in values.items()}]
        for code, values in rows
    ]
