"""Ship queries: their terms are proposed by one person, in force when another agrees, and asked by the gate."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from detection.filters import FilterError
from detection.ship_queries import Extent, Findings, ShipQueryError, Terms, digest_of_all
from models_registry.models import Detector, LedgerKind, ShipQuery, ShipQueryDecision, ShipQueryProposal, Version
from models_registry.services import hunts, ledger, weeks
from models_registry.services.two_people import PARTNER, ChangeRefused, reason_of, refusal
from models_registry.services.weeks import Week


def in_force(detector: Detector) -> list[ShipQuery]:
    """Return the terms that hold now, by name."""
    return list(ShipQuery.objects.in_force().filter(detector=detector).order_by("name"))


def digest(detector: Detector) -> str:
    """Return what gate reports name: one digest of all queries in force."""
    return digest_of_all({query.name: query.digest for query in in_force(detector)})


def proposals(detector: Detector | None = None) -> QuerySet[ShipQueryProposal]:
    """Return the proposals that wait for their second person."""
    waiting = ShipQueryProposal.objects.waiting().select_related("detector", "after", "by")
    return waiting.filter(detector=detector) if detector else waiting


# ---- changes


@transaction.atomic
def propose(detector: Detector, name: str, terms: Terms | None, by: User, *, reason: str = "") -> ShipQueryProposal:
    """Ask the second person to agree to a query's terms, or to its end (None); an equal proposal is returned.

    Raises ChangeRefused."""
    _refuse_role(by)
    Detector.objects.select_for_update().get(pk=detector.pk)
    name = _name(name)
    after = _newest(detector, name)
    wanted = terms.digest if terms else ""
    if (after.digest if after else "") == wanted:
        raise ChangeRefused(_("These terms are in force already."))
    if terms:
        _refuse_filters(detector, terms)
    if equal := proposals(detector).filter(name=name, digest=wanted).first():
        return equal
    made = ShipQueryProposal.objects.create(
        detector=detector,
        name=name,
        terms=terms.to_dict() if terms else None,
        digest=wanted,
        after=after,
        reason=reason_of(reason),
        by=by,
        role=by.role,
    )
    audit.record(by, "ship-query.proposed", detector.name, proposal=made.pk, query=name, terms=wanted)
    return made


@transaction.atomic
def approve(proposal: ShipQueryProposal, by: User) -> ShipQueryDecision:
    """Agree as the second person and put the terms in force; an approved proposal changes nothing.

    Raises ChangeRefused."""
    _refuse_role(by)
    detector = Detector.objects.select_for_update().get(pk=proposal.detector_id)
    if (decision := _decision(proposal)) is not None:
        if decision.outcome == ShipQueryDecision.Outcome.APPROVED:
            return decision
        raise ChangeRefused(_("The proposal was declined by %(by)s.") % {"by": decision.by})
    if told := refusal(proposal, by):
        raise ChangeRefused(told)
    after = _newest(detector, proposal.name)
    if (after.pk if after else None) != proposal.after_id:
        raise ChangeRefused(_("Other terms took effect since: propose again."))
    query = ShipQuery.objects.create(
        detector=detector,
        name=proposal.name,
        number=after.number + 1 if after else 1,
        terms=proposal.terms,
        digest=proposal.digest,
        made_by=proposal.by,
        approved_by=by,
    )
    decision = ShipQueryDecision.objects.create(
        proposal=proposal, outcome=ShipQueryDecision.Outcome.APPROVED, query=query, by=by, role=by.role
    )
    ledger.record(LedgerKind.APPROVAL, decision, proposal, query, by=by, detector=detector)
    audit.record(by, "ship-query.approved", detector.name, proposal=proposal.pk, query=query.name, terms=query.digest)
    return decision


@transaction.atomic
def decline(proposal: ShipQueryProposal, by: User, reason: str) -> ShipQueryDecision:
    """Say no, or take one's own proposal back; the reason is kept. Raises ChangeRefused."""
    _refuse_role(by)
    Detector.objects.select_for_update().get(pk=proposal.detector_id)
    if not (reason := reason_of(reason)):
        raise ChangeRefused(_("Say why: the person who proposed it will read the reason."))
    if (decision := _decision(proposal)) is not None:
        raise ChangeRefused(_("%(by)s has decided already: %(what)s.") % {"by": decision.by, "what": decision.outcome})
    decision = ShipQueryDecision.objects.create(
        proposal=proposal, outcome=ShipQueryDecision.Outcome.DECLINED, reason=reason, by=by, role=by.role
    )
    ledger.record(LedgerKind.APPROVAL, decision, proposal, by=by, detector=proposal.detector)
    audit.record(by, "ship-query.declined", proposal.detector.name, proposal=proposal.pk, reason=reason)
    return decision


# ---- questions


@dataclass(frozen=True, slots=True)
class Result:
    """What one query found among a version's positives of a week; `asked` opens the rows in a hunt."""

    name: str
    digest: str
    terms: Terms
    asked: str
    findings: Findings | None
    error: str = ""  # the filter could not be asked: names change


def results(
    version: Version, threshold: float, week: Week, positives: Extent, traffic: Extent, queries: Iterable[ShipQuery]
) -> list[Result]:
    """Ask every query of a version's positives at a threshold."""
    return [_result(query, version, threshold, week, positives, traffic) for query in queries]


def _result(
    query: ShipQuery, version: Version, threshold: float, week: Week, positives: Extent, traffic: Extent
) -> Result:
    terms = query.read
    assert terms is not None  # in force
    asked = f"{weeks.positives_asked(version, threshold, week)} and {terms.asked()}"
    try:
        found = weeks.extent(asked, week, version, threshold)
    except FilterError as error:
        return Result(query.name, query.digest, terms, asked, None, str(error))
    return Result(query.name, query.digest, terms, asked, Findings(found, positives, traffic))


# ----


def _refuse_filters(detector: Detector, terms: Terms) -> None:
    """Refuse a filter that cannot be asked, with its place."""
    for text in (terms.filter, *(one.filter for one in terms.exceptions), terms.asked()):
        try:
            hunts.prepare(text, now=timezone.now(), window=hunts.Window(timezone.now()))
        except FilterError as error:
            raise ChangeRefused(_("“%(filter)s”: %(error)s") % {"filter": text[:120], "error": error}) from error


def read_terms(given: dict[str, Any]) -> Terms:
    """Return the terms of plain values. Raises ChangeRefused."""
    try:
        return Terms.of(given)
    except ShipQueryError as error:
        raise ChangeRefused(str(error)) from error


def _newest(detector: Detector, name: str) -> ShipQuery | None:
    return ShipQuery.objects.filter(detector=detector, name=name).order_by("-number").first()


def _decision(proposal: ShipQueryProposal) -> ShipQueryDecision | None:
    return ShipQueryDecision.objects.filter(proposal=proposal).select_related("by").first()


def _refuse_role(by: User) -> None:
    if not by.has_role(*PARTNER):
        raise ChangeRefused(_("Ship queries are for an engineer and a senior expert."))


def _name(given: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", given):
        raise ChangeRefused(_("A name has small letters, digits and hyphens: ktalk-elsewhere."))
    return given
