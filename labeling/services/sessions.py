"""One stored session, as somebody found it: its fields, its raw line, and what versions said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow.compute as pc
from django.db.models import QuerySet

from detection.sessions import COLUMNS, Kind, session_key
from detection.thresholds import sigmoid
from labeling.models import Item
from labeling.services.records import moment
from models_registry.models import ScoreFile, Stage, Version
from traffic import storage
from traffic.models import Segment
from traffic.services import segments


@dataclass(frozen=True, slots=True)
class Fact:
    title: str
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Said:
    """What a version said of the session."""

    of: Version
    raw: float
    positive: bool

    @property
    def version(self) -> str:
        return str(self.of)

    @property
    def stage(self) -> str:
        return self.of.get_stage_display()

    @property
    def score(self) -> float:
        return sigmoid(self.raw)


@dataclass(frozen=True)
class Session:
    segment: Segment
    number: int  # row of the segment
    row: Mapping[str, Any]

    @cached_property
    def facts(self) -> list[Fact]:
        """All fields that have a value; hits stand apart."""
        found = []
        for column in COLUMNS:
            value = self.row[column.name]
            if value is not None and column.kind is not Kind.HITS:
                found.append(Fact(column.title, column.name, moment(value) if column.kind is Kind.TIME else value))
        return found

    @cached_property
    def raw(self) -> str:
        return segments.raw_line(self.segment, self.number).decode("utf-8", "replace")

    @cached_property
    def said(self) -> list[Said]:
        files = ScoreFile.objects.filter(segment=self.segment).exclude(path="").select_related("version__detector")
        return [_said(file, self.row["rid"]) for file in files.order_by("version__detector__name", "-version__number")]

    @property
    def strongest(self) -> Said | None:
        """What the version in force says, else a silent one, else a candidate."""
        ranks = {stage: rank for rank, stage in enumerate((Stage.ACTIVE, Stage.SILENT, Stage.CANDIDATE))}
        ranked = [one for one in self.said if one.of.stage in ranks]
        return min(ranked, key=lambda one: (ranks[Stage(one.of.stage)], -one.of.pk), default=None)

    @cached_property
    def items(self) -> QuerySet[Item]:
        """Items about this very session."""
        key = session_key(self.segment.sensor.name, self.row)
        return Item.objects.filter(subject_key=key).select_related("queue__detector", "detector").order_by("-id")


def find(rid: int) -> Session | None:
    """Return the session of a row id; None when there is none, or it was deleted by age."""
    number, row = rid >> 32, rid & 0xFFFF_FFFF
    segment = Segment.objects.sealed().select_related("sensor", "rule_set").filter(pk=number).first()
    if segment is None or row >= segment.rows:
        return None
    [found] = segments.read_rows(segment, [row])
    return Session(segment, row, found)


def _said(file: ScoreFile, rid: int) -> Said:
    table = storage.get_table(file.path, columns=["rid", "raw", "verdict"])
    place = pc.index(table["rid"], rid).as_py()
    raw, positive = table["raw"][place].as_py(), table["verdict"][place].as_py()
    return Said(file.version, raw, positive)
