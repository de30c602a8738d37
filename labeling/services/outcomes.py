"""What became of answers: unique detects, false positives, and the versions and bundles that know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from accounts import paging
from accounts.models import User
from detection.selection import Cell
from labeling.models import Answer, BulkVerdict, Item, Label, Queue, ReferenceRow, Role, Seed
from labeling.models.labels import LabelQuerySet
from labeling.services import seeds
from labeling.services.labels import UNDO_WITHIN
from labeling.services.labels import undoable as undoable_labels
from labeling.services.records import from_json
from models_registry.models import Bundle, BundleEntry, Detector, GateReport, Version

WINDOW = timedelta(days=7)
MOST = 1000  # false positives looked at for one figure
PAGE = 50
GATING = (Role.REGRESSION, Role.HOLDOUT)
_FLAGGED = (Cell.UNIQUE, Cell.COVERED, Cell.UNINSPECTED_POSITIVE)
KINDS = ("unique", "false-positive")


@dataclass(frozen=True, slots=True)
class Reach:
    """How many answers the newest version of a detector knows, and how many the newest bundle with one of its
    versions: they were in the reference set when the version's training set was frozen."""

    version: Version
    known: int
    fixed: int  # false positives that this version got right at the gate
    entry: BundleEntry | None
    shipped: int

    @property
    def bundle(self) -> Bundle | None:
        return self.entry.bundle if self.entry else None


@dataclass(frozen=True, slots=True)
class Week:
    """An expert's answers of the last seven days."""

    labels: int
    unique: int
    false_positives: int
    reaches: list[Reach]


def week(expert: User) -> Week:
    """Return what became of an expert's answers: one pass over his own labels, and a few rows per detector."""
    mine = own(expert)
    counts = mine.aggregate(
        labels=Count("pk"),
        unique=Count("pk", filter=found("unique")),
        false_positives=Count("pk", filter=found("false-positive")),
    )
    touched = Detector.objects.filter(pk__in=mine.order_by().values("detector").distinct()) if counts["labels"] else []
    reaches = [reach for detector in touched if (reach := _reach(detector, mine)) is not None]
    return Week(counts["labels"], counts["unique"], counts["false_positives"], reaches)


def own(expert: User) -> LabelQuerySet:
    """Return an expert's answers in force of the last WINDOW; what was inherited from one is no further answer."""
    labels = Label.objects.current().filter(expert=expert, inherited_from=None, created_at__gte=timezone.now() - WINDOW)
    assert isinstance(labels, LabelQuerySet)
    return labels


def found(kind: str) -> Q:
    """Return which answers agreed with an item that turned out to be of a kind.

    A proof item counts once its answer can no longer be undone: until then its verdict is nobody's to know."""
    told = ~Q(item__queue__kind=Queue.Kind.PROOF) | Q(item__settled_at__lte=timezone.now() - UNDO_WITHIN)
    if kind == "unique":
        return told & Q(answer=Answer.POSITIVE, item__outcome=Answer.POSITIVE, item__cell=Cell.UNIQUE)
    return told & Q(answer=Answer.NEGATIVE, item__outcome=Answer.NEGATIVE, item__cell__in=_FLAGGED)


def known_by(version: Version) -> Q:
    """Return which answers stand behind a version: learnt from, or asked at its gate."""
    frozen_at = version.training_set.frozen_at
    return Q(
        detector=version.detector_id,
        reference_rows__role__in=GATING,
        reference_rows__admitted_at__lte=frozen_at,
    )


def _reach(detector: Detector, mine: LabelQuerySet) -> Reach | None:
    version = detector.versions.select_related("detector", "training_set").order_by("-number").first()
    if version is None:
        return None
    entries = BundleEntry.objects.filter(version__detector=detector)
    entry = (
        entries.select_related("bundle", "version__training_set", "version__detector").order_by("-bundle_id").first()
    )
    return Reach(
        version,
        mine.filter(known_by(version)).count(),
        _fixed(version, mine),
        entry,
        mine.filter(known_by(entry.version)).count() if entry else 0,
    )


def _fixed(version: Version, mine: LabelQuerySet) -> int:
    """Count the false positives that the newest gate of a version asked and did not find wrong."""
    gate = GateReport.objects.filter(version=version).select_related("snapshot").order_by("-id").first()
    if gate is None:
        return 0
    wrong = {
        row["key"] for check in gate.report.get("checks", []) if check["name"] == "reference" for row in check["rows"]
    }
    asked = mine.filter(
        found("false-positive"),
        detector=version.detector_id,
        reference_rows__role__in=GATING,
        reference_rows__admitted_at__lte=gate.snapshot.created_at,
    )
    return sum(key not in wrong for key in asked.values_list("reference_rows__subject_key", flat=True))


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What experts found of the sessions that a version flagged, in items; MOST looked at for each."""

    unique: int  # positive where rules looked and were clean
    false_positives: int


def confirmed(version: Version, since: datetime) -> Confirmed:
    """Return what became of items settled since then that a version flagged."""
    clean = _settled(version, since, Answer.POSITIVE).filter(cell__in=(Cell.UNIQUE, Cell.QUIET))
    return Confirmed(_flagged_of(clean, version), false_positives(version, since))


def false_positives(version: Version, since: datetime) -> int:
    """Return how many items settled since then the version flagged and experts found negative; MOST at most."""
    return _flagged_of(_settled(version, since, Answer.NEGATIVE), version)


def _settled(version: Version, since: datetime, outcome: Answer) -> QuerySet[Item]:
    queues = list(Queue.objects.filter(detector=version.detector_id).values_list("pk", flat=True))
    return Item.objects.settled().filter(queue__in=queues, settled_at__gte=since, outcome=outcome)


def _flagged_of(items: QuerySet[Item], version: Version) -> int:
    scores = items.order_by("-settled_at").values_list("record__scores", flat=True)[:MOST]
    return sum(_flagged(text, version.number) for text in scores)


def _flagged(scores: str, number: int) -> bool:
    return any(said["version"] == number and said["verdict"] for said in from_json(scores or "[]"))


# the page of one's own answers


@dataclass(frozen=True, slots=True)
class Fate:
    """One answer and what became of it."""

    label: Label
    row: ReferenceRow | None
    version: Version | None  # the first one that knows it
    bundle: Bundle | None  # the first one that ships a version that knows it
    heirs: int = 0  # answers in force that were inherited from it
    bulk: int | None = None  # the bulk verdict that it stands for
    is_undoable: bool = False
    seed: Seed | None = None  # it was a settled case, asked once more; None as long as nobody is told


@dataclass(frozen=True, slots=True)
class Page:
    """One page of answers, newest first, and the key that starts the next one."""

    fates: list[Fate]
    before: str


def page(expert: User, kind: str = "", version: Version | None = None, before: str = "") -> Page:
    """Return an expert's answers of the last seven days that came before a key."""
    labels = own(expert)
    if kind in KINDS:
        labels = labels.filter(found(kind))
    if version is not None:
        labels = labels.filter(known_by(version))
    related = labels.select_related("item__queue", "item__detector", "detector").prefetch_related("reference_rows")
    shown, older = paging.page(related.order_by("-pk"), before, PAGE)
    return Page(_fates(shown, expert), older)


def _fates(labels: Sequence[Label], expert: User) -> list[Fate]:
    detectors = {label.detector_id for label in labels}
    versions = list(
        Version.objects.filter(detector__in=detectors).select_related("detector", "training_set").order_by("number")
    )
    entries = list(
        BundleEntry.objects.filter(version__detector__in=detectors)
        .select_related("bundle", "version")
        .order_by("bundle_id")
    )
    heirs = dict(
        Label.objects.current()
        .filter(inherited_from__in=labels)
        .order_by()
        .values_list("inherited_from")
        .annotate(count=Count("pk"))
    )
    bulks = dict(BulkVerdict.objects.filter(label__in=labels).values_list("label_id", "pk"))
    undoable = {label.pk for label in undoable_labels(expert)} - bulks.keys()
    told = seeds.told_of(labels)
    return [
        replace(
            _fate(label, versions, entries),
            heirs=heirs.get(label.pk, 0),
            bulk=bulks.get(label.pk),
            is_undoable=label.pk in undoable,
            seed=told.get(label.item_id),
        )
        for label in labels
    ]


def _fate(label: Label, versions: Sequence[Version], entries: Sequence[BundleEntry]) -> Fate:
    row = next(iter(label.reference_rows.all()), None)
    if row is None or row.role not in GATING:
        return Fate(label, row, None, None)
    knows = [
        version
        for version in versions
        if version.detector_id == label.detector_id and version.training_set.frozen_at >= row.admitted_at
    ]
    if not knows:
        return Fate(label, row, None, None)
    ships = (entry.bundle for entry in entries if entry.version in knows)
    return Fate(label, row, knows[0], next(ships, None))
