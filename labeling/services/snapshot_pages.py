"""Snapshots of a reference set: who used them, and what lies between two of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.core.cache import cache
from django.db.models import Count

from accounts import paging
from detection.snapshot_diff import KINDS, Change, difference
from models_registry.models import Bundle, Detector, GateReport, Snapshot
from models_registry.services import snapshots

PAGE = 50
KEPT = 24 * 3600  # seconds a difference is remembered: neither file ever changes


@dataclass(frozen=True, slots=True)
class Used:
    """A snapshot with how often it was asked, and the newest that rest on it."""

    snapshot: Snapshot
    reports: int
    report: GateReport | None
    bundles: list[Bundle]
    before: int | None  # number of the snapshot before it

    @property
    def roles(self) -> dict[str, dict[str, int]]:
        roles: dict[str, dict[str, int]] = self.snapshot.counts.get("roles", {})
        return roles


@dataclass(frozen=True, slots=True)
class Page:
    """One page of snapshots, newest first, and the number that starts the next one."""

    snapshots: list[Used]
    before: str


def page(detector: Detector, before: str = "") -> Page:
    """Return a detector's snapshots that are older than a number."""
    rows, older = paging.page(detector.snapshots.order_by("-number"), before, PAGE, by="number")
    shown = [snapshot.pk for snapshot in rows]
    counts = dict(
        GateReport.objects.filter(snapshot__in=shown).order_by().values_list("snapshot").annotate(n=Count("pk"))
    )
    newest: dict[int, GateReport] = {}
    for report in (
        GateReport.objects.filter(snapshot__in=shown).defer("report").select_related("version__detector").order_by("pk")
    ):
        newest[report.snapshot_id] = report
    bundles: dict[int, list[Bundle]] = {}
    asked = Bundle.objects.filter(entries__gate_report__snapshot__in=shown).distinct().order_by("-pk")
    for bundle in asked.prefetch_related("entries__gate_report"):
        for number in {entry.gate_report.snapshot_id for entry in bundle.entries.all() if entry.gate_report}:
            bundles.setdefault(number, []).append(bundle)
    used = [
        Used(one, counts.get(one.pk, 0), newest.get(one.pk), bundles.get(one.pk, []), one.number - 1 or None)
        for one in rows
    ]
    return Page(used, older)


@dataclass(frozen=True, slots=True)
class DifferencePage:
    """What changed between two snapshots: how many of each kind, and one page of them by key."""

    counts: dict[str, int]
    changes: list[Change]
    after: str


def between(old: Snapshot, new: Snapshot, kind: str = "", after: str = "") -> DifferencePage:
    """Return the changes from one snapshot to another that come after a key. Raises DamagedFile."""
    everything = _difference(old, new)
    counts = Counter(change.kind for change in everything)
    rest = [change for change in everything if (not kind or change.kind == kind) and change.key > after]
    return DifferencePage(
        {name: counts[name] for name in KINDS if counts[name]},
        rest[:PAGE],
        rest[PAGE - 1].key if len(rest) > PAGE else "",
    )


def _difference(old: Snapshot, new: Snapshot) -> list[Change]:
    key = f"snapshot-diff-{old.digest}-{new.digest}"
    found: list[Change] | None = cache.get(key)
    if found is None:
        found = difference(snapshots.read(old), snapshots.read(new))
        cache.set(key, found, timeout=KEPT)
    return found
