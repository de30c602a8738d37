"""The daily ten: looks that are spoken about in opposite ways, found by night, for a second look by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from accounts.services import audit
from detection.contradictions import Clash, ContradictionPolicy, Side, balance, rank
from detection.selection import Cell
from labeling.models import Answer, Contradiction, Item, ItemState, Queue, ReferenceRow
from labeling.services import blind, expiry, neighbours
from labeling.services.details import LabelRefused
from labeling.services.records import from_json
from models_registry.models import Detector, GateReport, Version

log = structlog.get_logger(__name__)
POLICY = ContradictionPolicy()
MOST = 20_000  # settled items of a detector that are compared by look: the newest
ASKED = 200  # of the newest, whose neighbours are asked for
NEAR = 0.25  # distance within which a neighbour of the opposite answer surprises
RULE_CELLS = (Cell.COVERED, Cell.MISSED)


# by night


def collect(now: datetime | None = None) -> int:
    """Store the strongest contradictions of every detector, once a day; return how many."""
    now = now or timezone.now()
    return sum(_collect(detector, now) for detector in Detector.objects.order_by("pk"))


def _collect(detector: Detector, now: datetime) -> int:
    if Contradiction.objects.filter(detector=detector, day=now.date()).exists():
        return 0
    rested = Contradiction.objects.filter(
        detector=detector, asked_at__gte=now - timedelta(days=POLICY.rest_days)
    ).values_list("shape", flat=True)
    resting = set(rested)
    settled = _settled(detector)
    clashes = [
        *_of_looks(settled),
        *_of_versions(detector),
        *_of_neighbours(settled[:ASKED]),
    ]
    found = rank((clash for clash in clashes if clash.shape not in resting), POLICY)
    rows = dict(
        ReferenceRow.objects.gating().filter(item__in=[one.clashes[0].item for one in found]).values_list("item", "pk")
    )
    made = [
        Contradiction(
            detector=detector,
            day=now.date(),
            place=place,
            shape=one.shape,
            item_id=one.clashes[0].item,
            row_id=rows.get(one.clashes[0].item),
            strength=one.strength,
            reasons=[_stored(clash) for clash in one.clashes],
            policy=POLICY.to_dict(),
            created_at=now,
        )
        for place, one in enumerate(found, start=1)
    ]
    return len(Contradiction.objects.bulk_create(made, ignore_conflicts=True))


def _stored(clash: Clash) -> dict[str, Any]:
    return {"side": clash.side.value, "strength": clash.strength, "item": clash.item, "figures": clash.figures}


def _settled(detector: Detector) -> list[Item]:
    """Return the newest items with an outcome that is nobody's secret, newest first."""
    items = blind.labelled().filter(detector=detector).select_related("queue").defer("decision")
    return list(items.order_by("-settled_at", "-pk")[:MOST])


def _of_looks(settled: list[Item]) -> Iterator[Clash]:
    """Yield where items of one look contradict each other, a customer, or the rules."""
    by_shape: dict[str, list[Item]] = defaultdict(list)
    for item in settled:
        by_shape[item.shape].append(item)
    for shape, alike in by_shape.items():
        yes, no = ([item for item in alike if item.outcome == answer] for answer in (Answer.POSITIVE, Answer.NEGATIVE))
        if yes and no:
            rarer = min((yes, no), key=len)[0]
            told = {"positive": len(yes), "negative": len(no)}
            yield Clash(shape, Side.EXPERTS, balance(len(yes), len(no)), rarer.pk, told)
        if (complained := [item for item in alike if item.queue.kind == Queue.Kind.COMPLAINT]) and yes:
            ours = [item for item in yes if item.queue.kind != Queue.Kind.COMPLAINT]
            told = {"complaints": len(complained), "positive": len(yes)}
            yield Clash(shape, Side.CUSTOMERS, 1.0, (ours or yes)[0].pk, told)
        if hit := [item for item in no if item.cell in RULE_CELLS]:
            yield Clash(shape, Side.RULES, len(hit) / len(no), hit[0].pk, {"hit": len(hit), "negative": len(no)})


def _of_versions(detector: Detector) -> Iterator[Clash]:
    """Yield the rows that the newest gate of each scoring version found wrong, stronger the surer the version was."""
    for version in Version.objects.scoring().filter(detector=detector).select_related("detector").order_by("number"):
        gate = GateReport.objects.filter(version=version).order_by("-id").first()
        wrong = {row["key"]: row for row in _wrong(gate)} if gate else {}
        rows = ReferenceRow.objects.gating().filter(detector=detector, subject_key__in=wrong, item__isnull=False)
        for shape, key, answer, item in rows.order_by("pk").values_list("shape", "subject_key", "answer", "item"):
            score = float(wrong[key].get("score") or 0.0)
            told = {"version": version.number, "score": score, "threshold": version.threshold, "answer": answer}
            yield Clash(shape, Side.VERSIONS, score if answer == Answer.NEGATIVE else 1.0 - score, item, told)


def _wrong(gate: GateReport) -> list[dict[str, Any]]:
    checks = gate.report.get("checks", [])
    return [row for check in checks if check["name"] == "reference" for row in check["rows"]]


def _of_neighbours(settled: list[Item]) -> Iterator[Clash]:
    """Yield items whose nearest labelled session has the opposite answer, stronger the nearer it lies."""
    rows = Item.objects.filter(pk__in=[item.pk for item in settled]).values_list("pk", "record__row")
    texts = dict(rows)
    for item in settled:
        try:
            _version, near = neighbours.of_item(item, from_json(texts[item.pk]))
        except (LookupError, OSError, ValueError) as error:  # no index yet, or not of this row
            log.info("contradictions.no_neighbours", item=item.pk, error=str(error))
            return
        nearest = near[0] if near else None
        if nearest and nearest.item.outcome != item.outcome and nearest.neighbour.distance < NEAR:
            distance = nearest.neighbour.distance
            told = {"distance": distance, "item": nearest.item.pk, "answer": nearest.item.outcome}
            yield Clash(item.shape, Side.NEIGHBOURS, 1.0 - distance / NEAR, item.pk, told)


# by day


@dataclass(frozen=True, slots=True)
class Shown:
    """One contradiction with its reasons in words."""

    contradiction: Contradiction
    reasons: list[str]
    may_ask: bool


def newest() -> list[Shown]:
    """Return the newest day's contradictions of each detector, the strongest first."""
    shown = []
    for detector in Detector.objects.order_by("name"):
        day = Contradiction.objects.filter(detector=detector).values_list("day", flat=True).first()
        of_day = Contradiction.objects.filter(detector=detector, day=day) if day else Contradiction.objects.none()
        for one in of_day.select_related("detector", "item__queue", "row", "asked_by").order_by("place"):
            shown.append(Shown(one, [_words(detector, reason) for reason in one.reasons], may_ask(one)))
    return shown


def _words(detector: Detector, reason: dict[str, Any]) -> str:
    told = dict(reason["figures"])
    names = {Answer.POSITIVE.value: detector.positive_class, Answer.NEGATIVE.value: detector.negative_class}
    told |= {"yes": detector.positive_class, "no": detector.negative_class, "said": names.get(told.get("answer", ""))}
    match Side(reason["side"]):
        case Side.EXPERTS:
            return _("experts: %(positive)s × %(yes)s, %(negative)s × %(no)s on one look") % told
        case Side.CUSTOMERS:
            text = ngettext(
                "customers: %(complaints)s complaint about what experts call %(yes)s",
                "customers: %(complaints)s complaints about what experts call %(yes)s",
                told["complaints"],
            )
            return text % told
        case Side.VERSIONS:
            told |= {"score": f"{told['score']:.4f}", "threshold": f"{told['threshold']:.4f}", "name": detector.name}
            return _("%(name)s:%(version)s scores %(score)s at threshold %(threshold)s, experts say %(said)s") % told
        case Side.NEIGHBOURS:
            told |= {"distance": f"{told['distance']:.3f}"}
            return _("nearest labelled session (item %(item)s, distance %(distance)s) is %(said)s") % told
        case Side.RULES:
            return _("rules hit %(hit)s of %(negative)s items that experts call %(no)s") % told


def may_ask(one: Contradiction) -> bool:
    """Say whether the case may be put before experts again."""
    never = one.item.queue.kind in (Queue.Kind.PROOF, Queue.Kind.COMPLAINT)  # a sample, and a customer's own case
    return one.asked_at is None and one.item.state == ItemState.SETTLED and not never


@transaction.atomic
def ask_again(one: Contradiction, by: User) -> None:
    """End the answers to the case, so that its queue asks about it anew; its reference row is marked, and gates on."""
    taken = Contradiction.objects.filter(pk=one.pk, asked_at=None).update(asked_at=timezone.now(), asked_by=by)
    if not taken or not may_ask(one):
        raise LabelRefused(_("This case is being asked about already, or is not one to ask about again."))
    expiry.recheck(one.item, "contradiction")
    audit.record(by, "contradiction.asked", one.detector.name, contradiction=one.pk, item=one.item_id)
