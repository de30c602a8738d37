"""Pages of the reference set: its rows by key, and everything that is known of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts import paging
from detection.contract import contract_for
from labeling.models import (
    Answer,
    Dispute,
    Item,
    ItemRecord,
    Label,
    Queue,
    ReferenceEvent,
    ReferenceProposal,
    ReferenceRow,
    Role,
    Source,
)
from labeling.services import disputes, reference, reference_changes
from models_registry.models import Detector, GateReport, Snapshot, Version

PAGE = 50
REPORTS = 50  # gate reports looked through for failures of one row, newest first
SNAPSHOTS = 20  # of those a row is in, newest first
STATES = ("", "retired", "recheck", "disputed")  # "": in force
RULES = {"hit": True, "clean": False}


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows a page shows; what makes no sense counts as not asked for."""

    role: str = ""
    answer: str = ""
    rules: str = ""
    sensor: str = ""
    source: str = ""
    family: str = ""
    state: str = ""

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> RowFilter:
        return cls(
            role=_one_of(asked.get("role", ""), Role.values),
            answer=_one_of(asked.get("answer", ""), (Answer.POSITIVE.value, Answer.NEGATIVE.value)),
            rules=_one_of(asked.get("rules", ""), RULES),
            state=_one_of(asked.get("state", ""), STATES),
            **{name: asked.get(name, "").replace("\0", "")[:100] for name in ("sensor", "source", "family")},
        )

    @property
    def query(self) -> str:
        """The filter as a query string, for links."""
        return urlencode({name: value for name, value in asdict(self).items() if value})

    def asked(self, detector: Detector) -> Q:
        """Return the condition that rows of a detector must meet."""
        plain = {name: getattr(self, name) for name in ("role", "answer", "sensor", "source", "family")}
        found = Q(detector=detector, **{name: value for name, value in plain.items() if value})
        if self.rules:
            found &= Q(rule_hit=RULES[self.rules])
        if self.state == "retired":
            return found & Q(retired_at__isnull=False)
        if self.state == "recheck":
            return found & Q(recheck_since__isnull=False)
        if self.state == "disputed":
            found &= Q(pk__in=Dispute.objects.waiting().values("row"))
        return found & Q(retired_at=None)


def _one_of(value: str, known: Any) -> str:
    return value if value in known else ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the reference set, newest first, and the key that starts the next one."""

    rows: list[ReferenceRow]
    before: str


def page(detector: Detector, asked: RowFilter, before: str = "") -> Page:
    """Return the rows of a detector's reference set that meet a filter and were admitted before a key."""
    rows = ReferenceRow.objects.filter(asked.asked(detector))
    light = rows.defer("row").prefetch_related("labels__expert")
    return Page(*paging.page(light.order_by("-pk"), before, PAGE))


def named(detector: Detector, subject_key: str, answer: str = "") -> ReferenceRow | None:
    """Return the row that a gate report names, the one in force before retired ones."""
    rows = ReferenceRow.objects.filter(detector=detector, subject_key=subject_key)
    if answer:
        rows = rows.filter(answer=answer)
    return min(rows.order_by("-pk")[:PAGE], key=lambda row: (row.is_retired, row.role == Role.FORWARD), default=None)


@dataclass(frozen=True)
class Entry:
    """One row with where it comes from and what became of it."""

    row: ReferenceRow
    labels: list[Label]
    why_role: str
    complaint: str  # its number
    dump: str  # what was said about the capture it comes from
    snapshots: list[Snapshot]
    failures: list[GateReport]
    events: list[ReferenceEvent]
    proposals: list[ReferenceProposal]
    disputes: list[Dispute]
    shown: Item  # for the templates of evidence: what was judged, as it was frozen


def entry(row: ReferenceRow) -> Entry:
    """Return everything that a page says of one row."""
    labels = list(row.labels.select_related("expert").order_by("id"))
    events = list(row.events.select_related("by").order_by("number"))
    return Entry(
        row=row,
        labels=labels,
        why_role=_why_role(row, events),
        complaint=_complaint(row),
        dump=next((label.note for label in labels if label.source == Source.DUMP), ""),
        snapshots=_snapshots(row),
        failures=failures(row),
        events=events,
        proposals=list(row.proposals.select_related("by", "decision__by", "duplicate_of", "row__item").order_by("-pk")),
        disputes=disputes.of_row(row),
        shown=_frozen(row),
    )


def failures(row: ReferenceRow) -> list[GateReport]:
    """Return the newest gate reports that list a row as wrong or lost."""
    reports = GateReport.objects.filter(version__detector=row.detector_id, created_at__gte=row.admitted_at)
    newest = reports.select_related("version__detector", "snapshot").order_by("-pk")[:REPORTS]
    return [report for report in newest if reference_changes.failed_in(report, row)]


def _why_role(row: ReferenceRow, events: list[ReferenceEvent]) -> str:
    if row.role == Role.FORWARD:
        return _("Drawn at random to prove a version, from sessions later than its training freeze.")
    spent = next((event for event in events if event.kind == ReferenceEvent.Kind.SPENT), None)
    if spent is not None:
        told = _("It was hold-out until %(by)s spent it: %(version)s had failed it.")
        return told % {"by": spent.by, "version": spent.details.get("version", "")}
    if row.item is not None and row.item.queue.kind == Queue.Kind.COMPLAINT:
        return _("A confirmed complaint: every later version must be right about it, and may learn it.")
    if row.role == Role.REGRESSION and reference.role_by_key(row.shape, row.host) != Role.REGRESSION:
        return _("An earlier row of this session was regression: what may have been learnt never becomes hold-out.")
    told = _("By a keyed hash of look and source host: %(share)s of 100 are held out, and nobody can choose which.")
    return told % {"share": round(100 * reference.POLICY.holdout_share)}


def _complaint(row: ReferenceRow) -> str:
    item = getattr(row.item, "complaint_item", None)
    return item.number if item is not None else ""


def _snapshots(row: ReferenceRow) -> list[Snapshot]:
    """Return the newest snapshots that were frozen while the row was in force."""
    if row.role == Role.FORWARD:
        return []
    frozen = Snapshot.objects.filter(detector=row.detector, created_at__gte=row.admitted_at)
    if row.retired_at is not None:
        frozen = frozen.filter(created_at__lt=row.retired_at)
    return list(frozen.order_by("-number")[:SNAPSHOTS])


def _frozen(row: ReferenceRow) -> Item:
    """Return an item that is not stored, about the session as it was frozen."""
    item = row.item
    version = item.version if item else Version(detector=row.detector, contract=contract_for(row.protocol or "http").id)
    shown = Item(
        detector=row.detector,
        version=version,
        subject_key=row.subject_key,
        title=row.title,
        sensor=row.sensor,
        source=row.source,
    )
    ItemRecord(
        item=shown,
        row=row.row,
        raw=item.record.raw if item else "{}",
        rule_set=item.record.rule_set if item else "",
    )
    return shown
