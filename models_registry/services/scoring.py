"""Score segments: one score file per version and segment, with board cells summed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import structlog
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone
from numpy.typing import NDArray

from detection.rules import RuleVerdict, rule_verdict
from detection.selection import CELL_CODES, Cell, cells
from detection.tables import SCORE_OPTIONS, SCORE_SCHEMA, inputs_of
from detection.thresholds import raw_threshold
from models_registry.models import ScoreFailure, ScoreFile, Version
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


PATIENCE = timedelta(seconds=5)  # doubled with each failure
LONGEST_PATIENCE = timedelta(hours=1)
log = structlog.get_logger(__name__)


class ScoreMismatch(RuntimeError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """A score file does not belong to its segment any more."""


def score_waiting(scoring: QuerySet[Version] | None = None) -> int:
    """Score every sealed segment that a scoring version has not seen; return the files written.

    A segment that cannot be scored is noted and tried again later: it must not hold up those behind it."""
    written = 0
    for version in (Version.objects.scoring() if scoring is None else scoring).select_related("detector"):
        rules = rules_in_force(version.detector)
        for segment in _waiting(version).iterator():
            try:
                written += score_or_note(version, segment, rules) is not None
            except (OperationalError, InterfaceError):
                raise  # the database is away: nothing about this segment
            except Exception:
                log.exception("score.failed", version=str(version), segment=segment.pk)
    return written


def score_or_note(version: Version, segment: Segment, rules: RulesInForce) -> ScoreFile | None:
    """Score one segment by one version; what it raises is also noted, and forgotten once the segment is scored."""
    failures = ScoreFailure.objects.filter(version=version, segment=segment)
    try:
        written = score_segment(version, segment, rules)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        _note(failures, version, segment, error)
        raise
    failures.delete()
    return written


def _waiting(version: Version) -> QuerySet[Segment]:
    later = ScoreFailure.objects.filter(version=version, again_at__gt=timezone.now())
    stored = Segment.objects.sealed().filter(protocol=version.detector.protocol)
    unseen = stored.exclude(score_files__version=version).exclude(pk__in=later.values("segment"))
    return unseen.select_related("rule_set")


def _note(failures: QuerySet[ScoreFailure], version: Version, segment: Segment, error: Exception) -> None:
    with transaction.atomic():
        failure, _new = failures.get_or_create(version=version, segment=segment)
        failure.attempts += 1
        failure.error = f"{type(error).__name__}: {error}"[:500].replace("\x00", "")
        failure.again_at = timezone.now() + min(PATIENCE * 2**failure.attempts, LONGEST_PATIENCE)
        failure.save()


def score_segment(version: Version, segment: Segment, rules: RulesInForce) -> ScoreFile | None:
    """Score one segment by one version; None when somebody else did it first."""
    contract = versions.contract(version)
    known = segments.late_hits_of(segment)  # before they are read: what comes between is corrected
    table = segments.read_sealed(segment, columns=[*contract.reads, "src_ip", "hits"])
    raw = versions.scorer(version).raw(inputs_of(contract, table))
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
    return _store(version, segment, rules, scores, counters(cell), known)


def counters(cell: NDArray[np.int8]) -> dict[str, int]:
    """Return the sessions of each board cell, as a score file counts them."""
    counts = np.bincount(cell, minlength=len(CELL_CODES))
    return {COUNTERS[one]: int(count) for one, count in zip(CELL_CODES, counts, strict=True)}


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
    if not score_file.path:
        raise FileNotFoundError(f"scores of {score_file} were deleted by age")
    table = storage.get_table(score_file.path, columns=columns)
    if len(table) != score_file.rows or score_file.rows != score_file.segment.rows:
        raise ScoreMismatch(f"{score_file.path} has {len(table)} rows, its segment {score_file.segment.rows}")
    return table


def _store(
    version: Version, segment: Segment, rules: RulesInForce, scores: pa.Table, counts: dict[str, int], late_hits: int
) -> ScoreFile | None:
    # the mapping may change while two workers are at it: then they write two files, and one of them wins
    path = f"scores/{version.detector.name}/{version.number}/{segment.pk}-{rules.version.pk}.parquet"
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
                late_hits=late_hits,
                **counts,
            )
    except IntegrityError:
        if not ScoreFile.objects.filter(path=path).exists():
            storage.delete(path)
        return None
