"""A few other sessions of an item's group, for people to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from detection.sessions import Row
from labeling.models import ItemRecord
from labeling.services.records import from_json, host_of, identity, stored_row, to_json

MOST = 5


def add(groups: Mapping[int, Sequence[Row]]) -> None:
    """Fill up to MOST other sessions of each item out of its new ones, given in the order of time."""
    records = list(ItemRecord.objects.filter(pk__in=groups).only("examples", "row").order_by("pk"))
    changed = []
    for record in records:
        had = from_json(record.examples)
        if len(had) < MOST:
            record.examples = to_json(_filled(from_json(record.row), had, groups[record.pk]))
            changed.append(record)
    ItemRecord.objects.bulk_update(changed, ["examples"], batch_size=100)


def _filled(subject: Row, had: list[dict[str, Any]], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the examples there were and new ones, of other hosts first."""
    seen = {identity(row) for row in (subject, *had)}
    hosts = Counter(host_of(row) for row in (subject, *had))
    chosen = list(had)
    while len(chosen) < MOST:
        fresh = [row for row in rows if identity(row) not in seen]
        if not fresh:
            break
        row = min(fresh, key=lambda row: hosts[host_of(row)])  # the first of the least shown host
        seen.add(identity(row))
        hosts[host_of(row)] += 1
        chosen.append(stored_row(row))
    return chosen
