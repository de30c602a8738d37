"""Score files that late rule hits made wrong: written anew, with their board counts."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import structlog
from django.db import transaction
from django.utils import timezone

from detection.rules import RuleMapping, RuleVerdict, rule_verdict
from detection.selection import cells
from detection.tables import SCORE_OPTIONS
from models_registry.models import Correction, ScoreFile
from models_registry.services.scoring import ScoreMismatch, counters, read_scores
from traffic import storage
from traffic.models import Segment
from traffic.services import segments

READERS_PATIENCE = timedelta(hours=1)  # nobody reads a score file longer
log = structlog.get_logger(__name__)


def correct_waiting() -> int:
    """Correct every score file that late hits reached; return how many.

    Safe to run twice and beside itself: a file is replaced by who finds it as it was read."""
    return sum(_correct_or_leave(pk) for pk in list(ScoreFile.objects.outdated().values_list("pk", flat=True)))


def _correct_or_leave(pk: int) -> bool:
    try:
        return _correct(pk)
    except (OSError, ScoreMismatch):  # gone, or not what was written
        log.exception("correction.failed", score_file=pk)
        return False


def _correct(pk: int) -> bool:
    file = ScoreFile.objects.select_related("segment", "mapping", "version__detector").get(pk=pk)
    known = segments.late_hits_of(file.segment)
    mapping = RuleMapping.from_dict(file.mapping.mapping)
    late = segments.late_hits(file.segment)
    scores = read_scores(file)
    before = scores["rules"].to_numpy()
    after = before.copy()
    for row, hits in late.items():
        if rule_verdict(hits, mapping, inspected=True) is RuleVerdict.HIT:
            after[row] = RuleVerdict.HIT  # hits only add: what was one stays one
    rows = [[row, int(before[row]), int(after[row])] for row in sorted(late)]
    cell = cells(scores["verdict"].to_numpy(), after)
    path = file.path
    changed: dict[str, str] = {}
    if (before != after).any():
        # a name that tells what it knows: two workers write the same file
        path = f"scores/{file.version.detector.name}/{file.version.number}/{file.segment_id}.{known}.parquet"
        for name, values in (("rules", after), ("cell", cell)):
            field = scores.schema.field(name)
            scores = scores.set_column(scores.schema.get_field_index(name), field, [values.astype(np.int8)])
        changed = {"path": path, "digest": storage.put_table(path, scores, **SCORE_OPTIONS)}
    if not _replace(file, known, rows, counters(cell), changed):
        if changed and not ScoreFile.objects.filter(path=path).exists():
            storage.delete(path)
        return False
    return True


@transaction.atomic
def _replace(
    file: ScoreFile, known: int, rows: list[list[int]], counts: dict[str, int], changed: dict[str, str]
) -> bool:
    Segment.objects.select_for_update().get(pk=file.segment_id)  # nobody routes the file meanwhile
    as_read = ScoreFile.objects.filter(pk=file.pk, path=file.path, late_hits=file.late_hits)
    if not as_read.update(late_hits=known, **counts, **changed):
        return False
    routed = ScoreFile.objects.filter(pk=file.pk).exclude(routed_at=None).exists()
    Correction.objects.create(
        score_file=file,
        rows=rows,
        old_path=file.path if changed else "",
        collected_at=None if routed else timezone.now(),
    )
    return True


def discard_old_files() -> int:
    """Delete score files that were replaced and that nobody reads any more; return how many."""
    old = Correction.objects.exclude(old_path="").filter(created_at__lt=timezone.now() - READERS_PATIENCE)
    count = 0
    for correction in old.iterator():
        storage.delete(correction.old_path)
        count += Correction.objects.filter(pk=correction.pk).exclude(old_path="").update(old_path="")
    return count
