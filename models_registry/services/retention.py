"""Deleting what was worked out about traffic that is gone. Board counts are sums in rows, and stay."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from detection.retention import RetentionPolicy
from models_registry.models import IndicatorMatch, ScoreFailure, ScoreFile
from traffic import storage
from traffic.models import Segment
from traffic.services.retention import POLICY, READERS_PATIENCE


def discard_scores(policy: RetentionPolicy = POLICY, *, dry: bool = False) -> int:
    """Delete score files that are too old and whose sessions are gone, and those of merged segments; return how many.

    The row forgets the path after the file is gone: a killed process leaves one that is deleted once more."""
    old = _old(policy)
    if dry:
        return old.count()
    count = 0
    for file in old.only("pk", "path").iterator():
        storage.delete(file.path)
        count += ScoreFile.objects.filter(pk=file.pk).update(path="")
    for match in IndicatorMatch.objects.filter(segment__in=_unread()).iterator():
        storage.delete(match.path)
        IndicatorMatch.objects.filter(pk=match.pk).delete()
    ScoreFailure.objects.exclude(segment__deleted_at=None).delete()
    return count


def _old(policy: RetentionPolicy) -> QuerySet[ScoreFile]:
    kept = ScoreFile.objects.exclude(path="")
    by_age = Segment.objects.exclude(deleted_at=None).filter(merged_into=None)
    old = by_age.filter(created_at__lt=timezone.now() - timedelta(days=policy.score_days))
    return kept.filter(segment__in=old) | kept.filter(segment__in=_merged())


def _merged() -> QuerySet[Segment]:
    return Segment.objects.merged_before(timezone.now() - READERS_PATIENCE)


def _unread() -> QuerySet[Segment]:
    """Return the segments whose sessions are gone, except those that were merged a moment ago."""
    return Segment.objects.exclude(deleted_at=None).filter(merged_into=None) | _merged()
