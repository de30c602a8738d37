"""What a store says about its sessions, wherever they lie: equal before and after a compaction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models

from detection.sessions import session_key
from models_registry.models import IndicatorMatch, ScoreFile, Version
from models_registry.services import boards, scoring
from traffic import storage
from traffic.models import Intake, Segment
from traffic.services import segments

PATHS = ("path", "_path")  # how fields that name files of the store end


def facts() -> dict[str, Any]:
    """Return, by session: its row, raw line, matches and what each version said; and the sums that pages show."""
    sessions: dict[str, Any] = {}
    for segment in Segment.objects.sealed().select_related("sensor", "rule_set"):
        said = _said(segment)
        numbers = list(range(segment.rows))
        rows = segments.read_rows(segment, numbers)
        for number, row, line in zip(numbers, rows, segments.raw_lines(segment, numbers), strict=True):
            assert row["rid"] == segment.pk << 32 | number
            key = f"{session_key(segment.sensor.name, row)} {row['protocol']}"
            assert key not in sessions, f"{key} is there twice"
            told = {name: value for name, value in row.items() if name not in ("rid", "hits")}
            about = (segment.source, str(segment.rule_set), sorted(map(json.dumps, row["hits"] or ())))
            sessions[key] = (told, line, about, said[number])
    return {"sessions": sessions, "boards": _boards(), "logs": _logs()}


def _said(segment: Segment) -> list[list[tuple[Any, ...]]]:
    said: list[list[tuple[Any, ...]]] = [[] for _ in range(segment.rows)]
    for file in ScoreFile.objects.filter(segment=segment).order_by("version").select_related("segment", "version"):
        table = scoring.read_scores(file)
        assert table["rid"].to_pylist() == [segment.pk << 32 | row for row in range(segment.rows)]
        about = (str(file.version), file.mapping_id, file.threshold, file.routed_at is not None)
        columns = (table[name].to_pylist() for name in ("raw", "verdict", "rules", "cell", "src_ip"))
        for row, values in enumerate(zip(*columns, strict=True)):
            said[row].append((*about, *values))
    match = IndicatorMatch.objects.filter(segment=segment).exclude(path="").first()
    if match is not None:
        table = storage.get_table(match.path)
        for hit in table.to_pylist():
            assert hit["rid"] >> 32 == segment.pk
            said[hit["rid"] & 0xFFFFFFFF].append((hit["column"], hit["indicator"]))
    return said


def _boards() -> dict[str, Any]:
    return {str(version): boards.board(version).cells for version in Version.objects.all()}


def _logs() -> list[Any]:
    return list(Intake.objects.order_by("pk").values_list("pk", "lines", "http", "tls", "rejected", "late_hits"))


def files() -> set[str]:
    """Return the files of the store, except locks."""
    root = Path(settings.ETALON_STORAGE.removeprefix("file://"))
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != "locks"}


def files_with_a_row() -> set[str]:
    """Return the files that rows name."""
    from django.apps import apps

    named: set[str] = set()
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if isinstance(field, models.CharField) and field.name.endswith(PATHS):
                named |= set(model._default_manager.exclude(**{field.name: ""}).values_list(field.name, flat=True))
    return named
