"""What a hunt found, folded as items are: by detector, board cell and look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from detection.filters.looks import COLUMNS
from detection.fingerprint import fingerprint, shape_of
from detection.selection import CELL_CODES, Cell, Reason
from detection.sessions import Row
from labeling.services import routing
from labeling.services.dumps import strongest_score_file
from labeling.services.records import host_of
from labeling.services.routing import Group
from models_registry.models import Detector, ScoreFile
from models_registry.services.hunt_tables import Hunt, opened
from models_registry.services.scoring import read_scores

MOST = 50_000  # sessions that are folded at once: all of them are looked at
_READ = ("rid", "flow_id", "tx_id", "src_ip", *COLUMNS)


@dataclass(slots=True)
class Case:
    """Sessions that would be one item. Its rows hold what folding needs, not whole sessions."""

    group: Group
    files: dict[int, ScoreFile] = field(default_factory=dict)  # of their segments

    @property
    def file(self) -> ScoreFile:
        """The scores of the session that is judged."""
        return self.files[_segment_of(self.group.subject[1])]

    def by_sensor(self) -> Iterator[tuple[str, list[int]]]:
        """Yield the starts of the sessions that each sensor saw, in microseconds."""
        named = [(self.files[_segment_of(row)].segment.sensor.name, row["start"]) for _raw, row in self.group.rows]
        for name, some in groupby(sorted(named), key=lambda pair: pair[0]):
            yield name, [start for _name, start in some]


@dataclass(slots=True)
class Folded:
    """All that passes a filter, as cases of one detector by fingerprint."""

    cases: dict[str, Case] = field(default_factory=dict)
    sessions: int = 0  # of all cases
    unscored: int = 0  # sessions that no version of the detector has scored: they cannot be sent
    too_many: bool = False

    @property
    def hosts(self) -> int:
        return len({host_of(row) for case in self.cases.values() for _raw, row in case.group.rows})


def fold(hunt: Hunt, detector: Detector) -> Folded:
    """Return what passes as cases; at most MOST sessions."""
    found = Folded()
    rows = _rows(hunt)
    if len(rows) > MOST:
        found.too_many = True
        return found
    segments = {one.pk: one for one in hunt.segments}
    for number, some in groupby(rows, key=_segment_of):
        here = list(some)
        file = strongest_score_file(segments[number], detector)
        if file is None:
            found.unscored += len(here)
        else:
            _add(found, file, here)
    return found


def _rows(hunt: Hunt) -> Sequence[Row]:
    columns = ", ".join(f"s.{name}" for name in _READ)
    with opened(hunt) as asked:
        return asked.dicts(f"SELECT {columns}, epoch_us(s.start) AS start", "ORDER BY s.rid LIMIT $most", most=MOST + 1)


def _add(found: Folded, file: ScoreFile, rows: Sequence[Row]) -> None:
    numbers = [routing.number_of(row) for row in rows]
    scores = read_scores(file, columns=["raw", "cell"]).take(numbers)
    for row, raw, code in zip(rows, scores["raw"].to_pylist(), scores["cell"].to_pylist(), strict=True):
        cell, shape = CELL_CODES[code], shape_of(row)
        case = _case(found, file, cell, shape)
        case.group.rows.append((raw, row))
        case.files[file.segment_id] = file
        found.sessions += 1


def _case(found: Folded, file: ScoreFile, cell: Cell, shape: str) -> Case:
    mark = fingerprint(file.version.detector.name, cell.value, shape)
    if mark not in found.cases:
        found.cases[mark] = Case(Group(Reason.HUNT, cell, shape, file.threshold))
    return found.cases[mark]


def _segment_of(row: Row) -> int:
    return int(row["rid"]) >> 32


def shown(case: Case, most: int) -> list[Row]:
    """Return other sessions of a case than the one that is judged, one per host first."""
    subject = case.group.subject[1]
    seen: dict[str, int] = {host_of(subject): 1}
    ranked: list[tuple[int, int, Any]] = []
    for row in case.group.in_order:
        if row is not subject:
            host = host_of(row)
            ranked.append((seen.get(host, 0), row["start"], row))
            seen[host] = seen.get(host, 0) + 1
    return [row for _rank, _start, row in sorted(ranked, key=lambda one: one[:2])[:most]]
