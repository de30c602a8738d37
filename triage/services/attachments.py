"""Evidence as files: checked by content and size, kept in the store outside the web root, read and never executed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from detection import evidence
from detection.evidence import Kind, Read, Refused
from detection.texts import storable
from traffic import storage
from traffic.services import suricata
from triage.models import Attachment, Complaint
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
    told: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def examine(files: Iterable[tuple[str, bytes]], received: datetime) -> list[File]:
    """Read attachments; mails are opened once, and what is in them stands beside the others."""
    found: list[File] = []
    for name, data in files:
        if len(found) >= MOST:
            found.append(File(name, b"", None, "too-many", _("more than %(most)s files") % {"most": MOST}))
            break
        found += _mail(name, data, received) if evidence.is_mail(data) else [_one(name, data, received)]
    return found


def _mail(name: str, data: bytes, received: datetime) -> list[File]:
    try:
        mail = evidence.read_mail(data)
    except Refused as refusal:
        return [File(name, data, None, refusal.code, str(refusal))]
    told = _("mail of %(sender)s: %(subject)s") % {"sender": mail.sender, "subject": mail.subject}
    inside = [_one(inner, part, received) for inner, part in mail.attachments[:MOST]]
    return [File(name, data, Read(Kind.MAIL), told=told), *inside]


def _one(name: str, data: bytes, received: datetime) -> File:
    try:
        read = evidence.read(data, received)
        if read.kind is Kind.CAPTURE:
            read = _sessions_of(data, received)
    except Refused as refusal:
        return File(name, data, None, refusal.code, str(refusal))
    return File(name, data, read, told=_words(read))


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
            raise Refused(code, str(error).replace(str(path), _("the capture"))) from None
    sessions = [line for line in told.splitlines() if b'"http":{' in line or b'"tls":{' in line]
    if not sessions:
        raise Refused("no-session", _("the capture holds no http or tls session"))
    ends = [line for line in told.splitlines() if b'"event_type":"flow"' in line]
    return replace(evidence.read(b"\n".join(sessions + ends), received), kind=Kind.CAPTURE)


def _words(read: Read) -> str:
    if read.kit is not None and not read.records:
        features = len(read.kit.features)
        return ngettext("%(n)s feature", "%(n)s features", features) % {"n": features}
    sessions = len(read.records)
    told = ngettext("%(n)s session", "%(n)s sessions", sessions) % {"n": sessions}
    skipped = ngettext("%(n)s line passed over", "%(n)s lines passed over", read.skipped) % {"n": read.skipped}
    return " · ".join((told, *([skipped] if read.skipped else []), *read.notes))


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
        told=storable(file.told, 400),
        seal=sealed.seal if sealed else "",
        appliance=sealed.appliance if sealed else None,
        size=len(file.data),
        digest=file.digest,
        path=path,
        by=by,
    )
