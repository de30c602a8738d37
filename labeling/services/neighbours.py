"""Labelled sessions that lie near an item, as the version that brought it sees them. The index is built at night."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import structlog
from django.utils import timezone
from numpy.typing import NDArray

from detection.contract import CONTRACTS, Contract, encode
from detection.features import feature_names
from detection.neighbours import Index, Neighbour, make_index, read_index, write_index
from detection.scoring import features
from labeling.models import Item, NeighbourIndex
from labeling.services import blind
from labeling.services.records import from_json
from models_registry.models import Detector, Version
from traffic import storage

log = structlog.get_logger(__name__)
MOST = 20_000  # labelled sessions in an index: the newest; 20,000 are compared in a few milliseconds
SHOWN = 5
ASKED = 64  # of which some may be reopened since, or look alike
BATCH = 500  # rows in memory
OLDEST = timedelta(days=1)
GROWN = 1.2  # as many labels as that, and the index is made again by day


class NoIndex(LookupError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """No index of the version was built yet."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A neighbour with the item it belongs to, and how many more of this look and outcome lie near."""

    item: Item
    neighbour: Neighbour
    more: int


# building


def build_due() -> int:
    """Build the index of every version that lacks one, or whose labels have grown; return how many were built."""
    return sum(_build_due(detector) for detector in Detector.objects.order_by("pk"))


def _build_due(detector: Detector) -> int:
    labelled = min(blind.labelled().filter(detector=detector).count(), MOST)
    if not labelled:
        return 0
    due = [version for version in Version.objects.scoring().filter(detector=detector) if _is_due(version, labelled)]
    for contract_id in {version.contract for version in due}:
        keys, values = _labelled(detector, CONTRACTS[contract_id])
        for version in due:
            if version.contract == contract_id:
                _store(version, make_index(CONTRACTS[contract_id], gains_of(version), keys, values))
    return len(due)


def _is_due(version: Version, labelled: int) -> bool:
    index = NeighbourIndex.objects.filter(version=version).first()
    if index is None or not storage.exists(index.path):
        return True
    is_old = index.built_at < timezone.now() - OLDEST
    return labelled > index.rows * GROWN or (is_old and labelled != index.rows)


def _labelled(detector: Detector, contract: Contract) -> tuple[list[int], NDArray[np.float32]]:
    """Return the newest labelled items of a detector and their features, read in batches."""
    found = blind.labelled().filter(detector=detector).order_by("-settled_at", "-pk")
    rows = iter(found.values_list("pk", "record__row")[:MOST].iterator(chunk_size=BATCH))
    keys: list[int] = []
    values: list[NDArray[np.float32]] = []
    while batch := list(islice(rows, BATCH)):
        keys += [pk for pk, _row in batch]
        values.append(features_of(contract, [from_json(row) for _pk, row in batch]))
    return keys, np.concatenate(values) if values else np.zeros((0, len(feature_names(contract))), np.float32)


def features_of(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
    """Return what a contract's graph makes of sessions, [sessions, features]."""
    return features(contract, encode(contract, {name: [row[name] for row in rows] for name in contract.reads}))


def gains_of(version: Version) -> dict[str, float]:
    """Return how much the trees of a version gained by each feature, as its report says."""
    return {feature["name"]: feature["gain"] for feature in version.report.get("importance", ())}


def _store(version: Version, index: Index) -> None:
    """Store the file, then let the row point at it: readers see the old index or the new one."""
    data = write_index(index)
    path = f"neighbours/{version.detector.name}-{version.number}-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
    before = NeighbourIndex.objects.filter(version=version).values_list("path", flat=True).first()
    storage.put_bytes(path, data)
    NeighbourIndex.objects.update_or_create(
        version=version, defaults={"path": path, "rows": len(index.keys), "built_at": timezone.now()}
    )
    if before not in (None, path):
        storage.delete(before or "")
    log.info("neighbours.built", version=str(version), rows=len(index.keys), bytes=len(data))


# asking


def of_item(item: Item, row: Mapping[str, Any]) -> tuple[Version, list[Labelled]]:
    """Return the nearest labelled items, one per look and outcome, and the version in whose eyes they are near.

    Another answer about the same session is no neighbour. Raises NoIndex, OSError when its file cannot be read."""
    index = _index_for(item)
    contract = CONTRACTS[index.version.contract]
    own = dict(zip(feature_names(contract), features_of(contract, [row])[0].tolist(), strict=True))
    nearest = _index(index.path, index.version.contract).nearest(own, ASKED)
    return index.version, _one_per_look(list(_told(item, nearest)))


def _index_for(item: Item) -> NeighbourIndex:
    """Return the index of the item's version; of a retired one that has none, the newest of the detector."""
    known = NeighbourIndex.objects.filter(version__detector=item.detector_id).select_related("version__detector")
    found = {index.version.number: index for index in known}
    if not found:
        raise NoIndex(f"no index of {item.detector} yet")
    return found.get(item.judged.number) or found[max(found)]


@lru_cache(maxsize=8)
def _index(path: str, contract: str) -> Index:
    return read_index(CONTRACTS[contract], storage.get_bytes(path))


def _told(item: Item, found: Sequence[Neighbour]) -> Iterator[tuple[Item, Neighbour]]:
    """Yield those whose label still stands, as it is now."""
    others = blind.labelled().exclude(subject_key=item.subject_key).select_related("detector", "queue")
    items = others.in_bulk([one.key for one in found])
    for one in found:
        if one.key in items:
            yield items[one.key], one


def _one_per_look(found: Sequence[tuple[Item, Neighbour]]) -> list[Labelled]:
    looks: dict[tuple[str, str], list[tuple[Item, Neighbour]]] = {}
    for other, neighbour in found:
        looks.setdefault((other.shape, other.outcome), []).append((other, neighbour))
    firsts = [Labelled(*alike[0], more=len(alike) - 1) for alike in looks.values()]
    return firsts[:SHOWN]
