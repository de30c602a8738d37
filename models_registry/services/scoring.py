"""Score segments: one score file per version and segment, with board cells summed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from django.db import IntegrityError, transaction
from numpy.typing import NDArray

from detection.contract import encode
from detection.rules import RuleVerdict, rule_verdict
from detection.selection import CELL_CODES, Cell, cells
from detection.tables import SCORE_OPTIONS, SCORE_SCHEMA, columns_of
from detection.thresholds import raw_threshold
from models_registry.models import ScoreFile, Version
from models_registry.services import versions
from models_registry.services.detectors import RulesInForce, rules_in_force
from traffic import storage
from traffic.models import Segment
from traffic.services import segments

COUNTERS = {
    Cell.COVERED: "covered",
    Cell.UNIQUE: "unique_candidates",
    Cell.MISSED: "missed",
    Cell.QUIET: "quiet",
    Cell.UNINSPECTED_POSITIVE: "uninspected_positive",
    Cell.UNINSPECTED_NEGATIVE: "uninspected_negative",
}


class ScoreMismatch(RuntimeError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """A score file does not belong to its segment any more."""


def score_waiting() -> int:
    """Score every sealed segment that a scoring version has not seen; return the files written."""
    written = 0
    for version in Version.objects.scoring().select_related("detector"):
        rules = rules_in_force(version.detector)
        waiting = (
            Segment.objects.sealed()
            .filter(protocol=version.detector.protocol)
            .exclude(score_files__version=version)
            .select_related("rule_set")
        )
        for segment in waiting.iterator():
            written += score_segment(version, segment, rules) is not None
    return written


def score_segment(version: Version, segment: Segment, rules: RulesInForce) -> ScoreFile | None:
    """Score one segment by one version; None when somebody else did it first."""
    contract = versions.contract(version)
    inputs = [*(text.column for text in contract.texts), *contract.columns]
    table = segments.read_sessions(segment, columns=["rid", *inputs, "src_ip", "hits"])
    raw = versions.scorer(version).raw(encode(contract, columns_of(table.select(inputs))))
    verdict = raw >= raw_threshold(version.threshold)
    spoke = rule_verdicts(table["hits"], rules, inspected=rules.inspects(segment.rule_set))
    cell = cells(verdict, spoke)
    scores = pa.table(
        {
            "rid": table["rid"],
            "raw": raw,
            "verdict": verdict,
            "rules": spoke,
            "cell": cell,
            "src_ip": table["src_ip"].cast(pa.string()),
        }
    ).cast(SCORE_SCHEMA)
    return _store(version, segment, rules, scores, np.bincount(cell, minlength=len(CELL_CODES)))


def rule_verdicts(hits: pa.ChunkedArray, rules: RulesInForce, *, inspected: bool) -> NDArray[np.int8]:
    """Return the rule verdict of each session; sessions without hits, nearly all, are not looked at one by one."""
    silent = RuleVerdict.CLEAN if inspected else RuleVerdict.NOT_INSPECTED
    verdicts = np.full(len(hits), silent, np.int8)
    for index, found in rows_with_hits(hits):
        verdicts[index] = rule_verdict(found, rules.mapping, inspected=inspected)
    return verdicts


def rows_with_hits(hits: pa.ChunkedArray) -> list[tuple[int, Sequence[dict[str, Any]]]]:
    """Return (row number, hits) of the sessions that have any."""
    lengths = pa.compute.fill_null(pa.compute.list_value_length(hits), 0).to_numpy()
    rows = np.flatnonzero(lengths)
    return list(zip(rows.tolist(), hits.take(pa.array(rows)).to_pylist(), strict=True))


def read_scores(score_file: ScoreFile, columns: list[str] | None = None) -> pa.Table:
    """Return a score file, in the row order of its segment; ScoreMismatch when it has other rows than that."""
    table = storage.get_table(score_file.path, columns=columns)
    if len(table) != score_file.rows or score_file.rows != score_file.segment.rows:
        raise ScoreMismatch(f"{score_file.path} has {len(table)} rows, its segment {score_file.segment.rows}")
    return table


def _store(
    version: Version, segment: Segment, rules: RulesInForce, scores: pa.Table, counts: NDArray[np.int64]
) -> ScoreFile | None:
    path = f"scores/{version.detector.name}/{version.number}/{segment.pk}.parquet"
    scores = scores.replace_schema_metadata({"segment_digest": segment.digest, "version": str(version)})
    digest = storage.put_table(path, scores, **SCORE_OPTIONS)
    try:
        with transaction.atomic():
            return ScoreFile.objects.create(
                version=version,
                segment=segment,
                mapping=rules.version,
                threshold=version.threshold,
                path=path,
                digest=digest,
                rows=len(scores),
                **{COUNTERS[cell]: int(count) for cell, count in zip(CELL_CODES, counts, strict=True)},
            )
    except IntegrityError:
        return None
