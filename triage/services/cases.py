"""Complaints of one look are one case: one question to an expert, one fix, and an answer for each customer."""

from __future__ import annotations

from typing import Any

from django.db.models import Max, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from detection.contract import encode
from detection.sessions import Row
from detection.thresholds import raw_threshold
from labeling.models import Item
from labeling.services import complaints as items
from labeling.services.records import from_json
from labeling.services.verdicts import verdict_of
from models_registry.models import Bundle, BundleEntry, Detector, Publication, Stage, Version
from models_registry.services import holds, versions
from triage.models import Case, Complaint, ComplaintState, State
from triage.services import reproduction, states
from triage.services.reproduction import CannotScore, Said, Scored


def join(complaint: Complaint, scored: Scored, said: Said, raw: str) -> Item | None:
    """Put a complaint whose session was scored into its case; return the item that asks an expert about it.

    None: nobody needs to be asked, the case is known to be a false positive already."""
    case, _is_new = Case.objects.get_or_create(detector=said.detector, shape=complaint.shape)
    held = Case.objects.select_for_update().get(pk=case.pk)
    Complaint.objects.filter(pk=complaint.pk).update(case=held)
    complaint.case = held
    if known(held, complaint) is not None:
        return None
    name = complaint.customer.name
    if held.item is not None and items.join(held.item, due_at=complaint.deadline.due_at, customer=name):
        return held.item
    held.item = items.add(
        items.Flagged(
            number=complaint.number,
            customer=name,
            due_at=complaint.deadline.due_at,
            row=scored.row or {},
            raw=raw,
            version=said.entry.version,
            score=said.score,
            threshold=said.entry.threshold,
            bars=_bars(scored, said.detector),
        )
    )
    held.save(update_fields=["item"])
    return held.item


def known(case: Case, complaint: Complaint) -> Complaint | None:
    """Return the complaint by which a case was confirmed; None where nobody has, or the customer runs the fix."""
    confirmed = ComplaintState.objects.filter(complaint__case=case, state=State.CONFIRMED).exclude(complaint=complaint)
    first = confirmed.select_related("complaint").order_by("id").first()
    if first is None:
        return None
    fixed = ComplaintState.objects.filter(complaint__case=case, state=State.FIXED_IN_BUNDLE).order_by("bundle").first()
    returned = fixed is not None and complaint.bundle_id is not None and (fixed.bundle_id or 0) <= complaint.bundle_id
    return None if returned else first.complaint


def of_item(item: Item) -> list[Complaint]:
    """Return the complaints whose question an item is, and that still wait for its answer."""
    asked = ComplaintState.objects.filter(item=item, state=State.RECEIVED).values("complaint")
    waiting = (State.RECEIVED, State.REPRODUCED)
    found = Complaint.objects.filter(pk__in=asked, state__in=waiting).select_related("customer", "detector", "deadline")
    return list(found.order_by("id"))


def confirm_known(complaint: Complaint, first: Complaint) -> None:
    """Answer at once what is known: confirmed with its case, and as far on the way as the fix is."""
    states.enter(complaint, State.CONFIRMED, reason=_("known: %(number)s") % {"number": first.number})
    follow(complaint)


def hold(complaint: Complaint) -> None:
    """Keep bundles that would say the same from spreading while the complaint is open: by what is known of it now."""
    holds.lift(complaint.number)
    if complaint.version is not None and complaint.score is not None:
        holds.place(complaint.version, complaint.score, complaint.number, f"open complaint of {complaint.customer}")


def newest(detector: Detector) -> str:
    """Return what names the newest version, bundle and publication of a detector: more of them may fix a complaint."""
    versions = Version.objects.filter(detector=detector).aggregate(newest=Max("pk"))
    entries = BundleEntry.objects.filter(version__detector=detector)
    bundles = entries.aggregate(newest=Max("bundle"), published=Max("bundle__publications"))
    return f"{versions['newest']} {bundles['newest']} {bundles['published']}"


# --- the fix -------------------------------------------------------------------------------------------------------


def follow(complaint: Complaint) -> int:
    """Look for the candidate, the bundle and the publication that fix a confirmed complaint; count the steps found."""
    row = from_json(complaint.row) if complaint.row else None  # None: erased
    steps = 0
    if (
        complaint.state == State.CONFIRMED
        and row is not None
        and (version := _fixing_version(complaint, row)) is not None
    ):
        steps += _found(complaint, State.FIX_IN_CANDIDATE, version=version)
    published = published_fix(complaint, row)
    if complaint.state in (State.CONFIRMED, State.FIX_IN_CANDIDATE):
        bundle = published.bundle if published else fixing_bundle(complaint, row)
        if bundle is not None:
            steps += _found(complaint, State.FIXED_IN_BUNDLE, bundle=bundle)
    if published is not None and complaint.state == State.FIXED_IN_BUNDLE:
        at = max(published.published_at, complaint.received_at)  # what was there before counts from receipt
        steps += _found(complaint, State.PUBLISHED, bundle=published.bundle, at=at)
    return steps


def _found(complaint: Complaint, state: State, **fix: Any) -> bool:
    try:
        states.enter(complaint, state, **fix)
    except states.ComplaintRefused:  # another process found it
        return False
    return True


def _fixing_version(complaint: Complaint, row: Row) -> Version | None:
    """Return the first version made since its case was confirmed that does not flag the session."""
    made = made_since_confirmed(complaint).order_by("number")
    return next((version for version in made if not flags(version, row)), None)


def made_since_confirmed(complaint: Complaint) -> QuerySet[Version]:
    """Return the versions made since the case of a complaint was confirmed; none before that."""
    confirmed = ComplaintState.objects.filter(state=State.CONFIRMED)
    mine = (
        confirmed.filter(complaint__case=complaint.case) if complaint.case_id else confirmed.filter(complaint=complaint)
    )
    since = mine.order_by("at").values("at")[:1]
    made = Version.objects.filter(detector=complaint.detector, created_at__gt=Subquery(since))
    return made.exclude(stage=Stage.RETIRED).select_related("detector")


def flags(version: Version, row: Row) -> bool:
    """Say whether a version flags a session at its own threshold."""
    return raw_of(version, row) >= raw_threshold(version.threshold)


def fixing_bundle(complaint: Complaint, row: Row | None) -> Bundle | None:
    """Return the first bundle made since that holds the detector and does not say so any more."""
    later = Bundle.objects.filter(pk__gt=complaint.bundle_id or 0, entries__version__detector=complaint.detector)
    return next((one for one in later.distinct().order_by("id") if not says(one, complaint, row)), None)


def published_fix(complaint: Complaint, row: Row | None) -> Publication | None:
    """Return the first publication to the customer, of a bundle later than his, that does not say so any more.

    An older bundle that reaches him after his complaint counts too: he came back to his channel."""
    later = Q(bundle_id__gt=complaint.bundle_id or 0) | Q(published_at__gt=complaint.received_at)
    speaking = Bundle.objects.filter(entries__version__detector=complaint.detector)
    heard = Publication.objects.reaching(complaint.customer).filter(later, bundle__in=speaking.values("pk"))
    heard = heard.select_related("bundle").defer("bundle__metadata", "bundle__config")
    for one in heard.order_by("published_at", "id"):
        if not says(one.bundle, complaint, row):
            return one
    return None


def says(bundle: Bundle, complaint: Complaint, row: Row | None) -> bool:
    """Say whether a bundle flags the session; of one that was erased, whether it speaks as the one that did."""
    assert complaint.detector is not None
    if row is None:
        loud = bundle.entries.filter(version=complaint.version, is_silent=False)
        return loud.filter(threshold__lte=complaint.score or 0.0).exists()
    try:
        return complaint.detector.name in reproduction.score_row(row, reproduction.file_of(bundle)).fired
    except CannotScore:  # it reads another protocol: it says nothing of this session, and fixes nothing
        return True


def raw_of(version: Version, row: Row) -> float:
    """Return the raw sum that a version gives a session."""
    columns = {name: [value] for name, value in row.items()}
    return float(versions.scorer(version).raw(encode(versions.contract(version), columns))[0])


def _bars(scored: Scored, detector: Detector) -> list[dict[str, Any]]:
    """Return what each version of the detector in the bundle says, as the labelling page draws it."""
    shown = [one for one in scored.said if one.detector == detector]
    assert scored.row is not None
    raws = {one.entry.version_id: raw_of(one.entry.version, scored.row) for one in shown}
    return [
        verdict_of(one.entry.version, raws[one.entry.version_id], one.entry.threshold, one.positive) for one in shown
    ]
