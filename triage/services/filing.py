"""Taking a complaint in, from whatever way it comes: read, scored and asked about in one go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from detection.fingerprint import shape_of
from detection.kits import Kit
from detection.texts import storable
from labeling.services.records import stored_row, to_json
from models_registry.models import Bundle, Customer, Detector, Site
from triage.models import Complaint, Message, Reproduction, Severity, State, Strength
from triage.services import attachments, cases, deadlines, reproduction, states, templates
from triage.services.attachments import File
from triage.services.reproduction import CannotScore, Said, Scored
from triage.services.states import ComplaintRefused

Files = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Details:
    """What may come later: everything but customer, what was flagged, and contact."""

    bundle: Bundle | None = None  # what was published to the customer, when not named
    detector: Detector | None = None  # the surest, when not named
    site: Site | None = None
    score_told: str = ""
    note: str = ""
    received_at: datetime | None = None
    severity: str = Severity.NORMAL
    channel: str = Complaint.Channel.PAGE
    key: str = ""  # Idempotency-Key
    files: Files = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Found:
    """What evidence shows when the customer's bundle is asked about it."""

    scored: Scored | None
    said: Said | None
    strength: Strength
    score_told: str = ""
    problem: str = ""
    digest: str = ""  # of what was scored

    @property
    def reproduced(self) -> bool:
        return bool(self.scored and self.said and self.scored.reproduces(self.said, self.score_told))


def preview(flagged: str, details: Details, customer: Customer | None = None) -> tuple[Scored, Said]:
    """Score what was told without keeping anything. Raises CannotScore."""
    received = details.received_at or timezone.now()
    files = attachments.examine([("", flagged.encode("utf-8", "replace")), *details.files], received)
    found = _look(files, customer, details)
    if found.scored is None or found.said is None:
        raise CannotScore(found.problem)
    return found.scored, found.said


def file(customer: Customer, flagged: str, contact: str, by: User | None, details: Details | None = None) -> Complaint:
    """Take a complaint in: scored at once, an expert asked, due as the customer's contract says.

    Evidence that shows nothing is asked for, with the clock resting. Raises ComplaintRefused."""
    details = details or Details()
    _refuse(customer, flagged, contact, details)
    told_digest = _digest_of(flagged, contact, details)
    if (before := _before(customer, details, told_digest)) is not None:
        return before
    received = details.received_at or timezone.now()
    files = attachments.examine(details.files, received)
    pasted = attachments.examine([("", flagged.encode("utf-8", "replace"))], received)
    found = _look([*files, *pasted], customer, details)
    try:
        with transaction.atomic():
            complaint = _written(customer, flagged, contact, by, replace(details, received_at=received), told_digest)
            _keep(complaint, [*files, *_kits(pasted)], by)
            _ask(complaint, found, flagged, by)
            audit.record(by, "complaint.filed", complaint.number, customer=customer.name, channel=details.channel)
    except IntegrityError:  # the same key at the same moment
        if (before := _before(customer, details, told_digest)) is None:
            raise
        return before
    return complaint


def add_information(complaint: Complaint, text: str, by: User | None, flagged: str = "", files: Files = ()) -> Found:
    """Take what a customer added, in words or as evidence; where he was asked the clock runs on. ComplaintRefused."""
    words = states.words(text, _("Say what the customer told."))
    received = timezone.now()
    read = attachments.examine(files, received)
    pasted = attachments.examine([("", flagged.encode("utf-8", "replace"))], received) if flagged.strip() else []
    details = Details(bundle=complaint.bundle, detector=complaint.detector, score_told=complaint.score_told)
    found = _look([*read, *pasted], complaint.customer, details) if read or pasted else None
    if flagged.strip() and found is not None and found.scored is None and not read:
        raise ComplaintRefused(found.problem)
    with transaction.atomic():
        if states.state_of(complaint) is not State.NEEDS_INFORMATION:
            raise ComplaintRefused(_("%(number)s waits for no information.") % {"number": complaint.number})
        Message.objects.create(complaint=complaint, to_customer=False, text=words, by=by)
        _keep(complaint, [*read, *_kits(pasted)], by)
        if flagged.strip():
            Complaint.objects.filter(pk=complaint.pk).update(flagged=storable(flagged))
            complaint.flagged = storable(flagged)
        found = found if found is not None and found.scored is not None else _as_before(complaint)
        _ask(complaint, found, complaint.flagged, by, reason=_("the customer answered"))
        audit.record(by, "complaint.information-added", complaint.number)
    return found


# --- looking -------------------------------------------------------------------------------------------------------


def _look(files: Sequence[File], customer: Customer | None, details: Details) -> Found:
    """Ask the customer's bundle about the strongest evidence there is: sessions, then features."""
    problem = next((file.told for file in files if file.refusal), "") or _("There is no evidence yet.")
    for strength in (Strength.SESSION, Strength.VECTOR):
        for one in files:
            if one.read is None or not (one.read.records if strength is Strength.SESSION else one.read.kit):
                continue
            try:
                return _asked(one, strength, customer, details)
            except CannotScore as error:
                problem = str(error)
    return Found(None, None, Strength.NOTHING, details.score_told, problem)


def _asked(one: File, strength: Strength, customer: Customer | None, details: Details) -> Found:
    assert one.read is not None
    kit = one.read.kit
    asked = reproduction.runs(customer, details.bundle, kit.bundle if kit else "", _protocol(one))
    if asked is None:
        if kit and kit.bundle:
            raise CannotScore(_("Bundle %(digest)s of the kit was not built here.") % {"digest": kit.bundle[:12]})
        raise CannotScore(_("There is no bundle yet: nothing can have been flagged at a customer."))
    if strength is Strength.SESSION:
        scored = reproduction.score_best(one.read.records, asked, details.detector)
    else:
        assert kit is not None
        scored = reproduction.score_kit(kit, asked)
    said = scored.of(details.detector)
    return Found(scored, said, strength, details.score_told or _told_by(kit, said), "", one.digest)


def _protocol(one: File) -> str:
    """Return the protocol of the sessions in a file; empty where it holds none."""
    return str(one.read.records[0].get("event_type", "")) if one.read and one.read.records else ""


def _told_by(kit: Kit | None, said: Said) -> str:
    told = kit.score_of(said.detector.name, said.entry.version.number) if kit else None
    return f"{told:.9f}" if told is not None else ""


def _as_before(complaint: Complaint) -> Found:
    """Look again at what a complaint has: words alone change no score."""
    if complaint.strength != Strength.SESSION or complaint.bundle is None or not complaint.row:
        return Found(None, None, Strength(complaint.strength), complaint.score_told, _("There is no session yet."))
    scored = reproduction.score_row(json.loads(complaint.row), reproduction.file_of(complaint.bundle))
    said = scored.of(complaint.detector)
    return Found(scored, said, Strength.SESSION, complaint.score_told, "", _sha256(complaint.row))


# --- writing -------------------------------------------------------------------------------------------------------


def _written(
    customer: Customer, flagged: str, contact: str, by: User | None, details: Details, told_digest: str
) -> Complaint:
    assert details.received_at is not None
    terms = deadlines.terms_for(customer, details.severity)
    return Complaint.objects.create(
        customer=customer,
        site=details.site,
        deadline=deadlines.start(details.received_at, terms, details.severity),
        channel=details.channel,
        key=details.key,
        key_digest=told_digest if details.key else "",
        strength=Strength.NOTHING,
        flagged=storable(flagged),
        contact=storable(contact.strip(), 200),
        note=storable(details.note.strip(), states.LONGEST_TEXT),
        score_told=details.score_told.strip(),
        received_at=details.received_at,
        filed_by=by,
    )


def _kits(pasted: Sequence[File]) -> list[File]:
    """Return the kits among what was pasted: they are files, whatever way they came."""
    return [replace(one, name=_("pasted")) for one in pasted if one.read and one.read.kit and one.read.kit.told]


def _keep(complaint: Complaint, files: Sequence[File], by: User | None) -> None:
    """Keep the files; a kit that an appliance of the customer signed tells his site."""
    kept = attachments.keep(complaint, files, by)
    signer = next((one.appliance for one in kept if one.appliance), None)
    if signer is not None and complaint.site is None:
        Complaint.objects.filter(pk=complaint.pk).update(site=signer.site)
        complaint.site = signer.site


def _ask(complaint: Complaint, found: Found, raw: str, by: User | None, reason: str = "") -> None:
    """Enter "received" with what the bundle says, and ask whoever can tell more: an expert, or the customer."""
    if found.scored is not None and found.said is not None:
        _keep_scores(complaint, found, found.scored, found.said)
    item = None
    if found.strength == Strength.SESSION and found.scored is not None and found.said is not None:
        if states.state_of(complaint) is State.NEEDS_INFORMATION:
            deadlines.resume(complaint.deadline)  # before the item, which is due when the clock says
        item = cases.join(complaint, found.scored, found.said, raw)
    states.enter(complaint, State.RECEIVED, by=by, item=item, reason=reason)
    if found.reproduced:
        states.enter(complaint, State.REPRODUCED)
    if found.strength != Strength.SESSION:
        ask(complaint, "ask-consent" if found.reproduced else "ask-evidence", None)
    elif item is None and complaint.case is not None and (first := cases.known(complaint.case, complaint)) is not None:
        cases.confirm_known(complaint, first)


def _keep_scores(complaint: Complaint, found: Found, scored: Scored, said: Said) -> None:
    equal = reproduction.same_score(found.score_told, said.score) if found.score_told else None
    Reproduction.objects.create(
        complaint=complaint,
        bundle=scored.bundle,
        version=said.entry.version,
        strength=found.strength,
        digest=found.digest,
        file_digest=scored.digest,
        score=said.score,
        threshold=said.entry.threshold,
        positive=said.detector.name in scored.fired,
        score_told=found.score_told[:24],
        equal=equal,
        missing=scored.missing,
        seconds=scored.seconds,
    )
    head: dict[str, Any] = {
        "bundle": scored.bundle,
        "detector": said.detector,
        "version": said.entry.version,
        "strength": found.strength,
        "score": said.score,
        "threshold": said.entry.threshold,
        "score_told": found.score_told[:24],
        "reproduced": found.reproduced,
    }
    if scored.row is not None:
        head |= {"row": to_json(stored_row(scored.row)), "shape": shape_of(scored.row)}
    for name, value in head.items():
        setattr(complaint, name, value)
    complaint.save(update_fields=list(head))
    cases.hold(complaint)


@transaction.atomic
def ask(complaint: Complaint, template: str, by: User | None, text: str = "") -> Message:
    """Ask the customer for what is missing: his clock rests until he answers. Raises ComplaintRefused."""
    language = get_language() or settings.LANGUAGE_CODE
    words = text.strip() or templates.filled(template, language[:2], complaint)
    states.enter(complaint, State.NEEDS_INFORMATION, by=by, reason=_("asked: %(what)s") % {"what": template})
    return Message.objects.create(complaint=complaint, to_customer=True, template=template, text=storable(words), by=by)


# --- refusing ------------------------------------------------------------------------------------------------------


def _refuse(customer: Customer, flagged: str, contact: str, details: Details) -> None:
    if not flagged.strip() and not details.files:
        raise ComplaintRefused(_("What was flagged? Say it in words, paste it, or attach a file."))
    if not contact.strip():
        raise ComplaintRefused(_("Whom do we answer? Give a name, an address or a ticket number."))
    if details.site is not None and details.site.customer_id != customer.pk:
        raise ComplaintRefused(_("%(site)s is no site of %(customer)s.") % {"site": details.site, "customer": customer})
    if details.received_at is not None and details.received_at > timezone.now():
        raise ComplaintRefused(_("It cannot have been received in the future."))
    if details.score_told and reproduction.score_told(details.score_told) is None:
        raise ComplaintRefused(_("“%(score)s” is no score: expected 0 to 1.") % {"score": details.score_told})


def _before(customer: Customer, details: Details, digest: str) -> Complaint | None:
    """Return the complaint that was filed with the same key; ComplaintRefused where it said something else."""
    if not details.key:
        return None
    found = Complaint.objects.filter(customer=customer, key=details.key).select_related("deadline", "customer").first()
    if found is not None and found.key_digest != digest:
        raise ComplaintRefused(_("This Idempotency-Key was used for another complaint."))
    return found


def _digest_of(flagged: str, contact: str, details: Details) -> str:
    files = [[name, hashlib.sha256(data).hexdigest()] for name, data in details.files]
    return _sha256(json.dumps([flagged, contact, details.score_told, details.note, files]))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
