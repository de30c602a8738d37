"""Flips that experts are asked about: the sessions of a look become an item in the queue of disagreement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from detection.selection import CELL_CODES, Reason
from labeling.services import routing
from labeling.services.routing import Group
from models_registry.models import DiffGroup, DiffReview, ScoreFile, VerdictDiff
from models_registry.services import diffs
from models_registry.services.diffs import ReviewRefused
from models_registry.services.scoring import read_scores
from traffic.services import segments

Outcome = DiffReview.Outcome


def accept(diff: VerdictDiff, groups: Sequence[int], by: User, note: str = "") -> int:
    """Say that some groups are as they should be; return how many were not judged before. Raises ReviewRefused."""
    return len(diffs.review(diff, groups, Outcome.ACCEPTED, by, note))


def label_now(diff: VerdictDiff, groups: Sequence[int], by: User) -> int:
    """Ask experts about some groups; return how many were not judged before.

    Raises ReviewRefused where sessions are not stored any more, or the day's budget is spent."""
    # files are read before the transaction, which holds the only write lock of SQLite
    found = {group.pk: _found(diff, group) for group in diff.groups.filter(pk__in=groups)}
    with transaction.atomic():
        chosen = diffs.review(diff, groups, Outcome.LABEL, by)
        for group in chosen:
            _write(found[group.pk], group)
    return len(chosen)


def _write(found: list[tuple[ScoreFile, dict[str, Group]]], group: DiffGroup) -> None:
    written = sum(routing.write(file, Reason.DISAGREEMENT, looks) for file, looks in found)
    if not written:
        raise ReviewRefused(_("No place is left in today's queue for “%(look)s”.") % {"look": group.title})


def _found(diff: VerdictDiff, group: DiffGroup) -> list[tuple[ScoreFile, dict[str, Group]]]:
    """Return the sessions of a group as routing takes them, segment by segment."""
    by_segment: dict[int, list[int]] = defaultdict(list)
    for rid in group.rids:
        by_segment[rid >> 32].append(rid & 0xFFFFFFFF)
    files = routing.score_files().filter(version=diff.version, segment__in=by_segment, segment__deleted_at=None)
    found = [(file, _looks(file, group, by_segment[file.segment_id])) for file in files.exclude(path="")]
    if not found:
        raise ReviewRefused(
            _("The sessions of “%(look)s” are not stored any more: run the gate again.") % {"look": group.title}
        )
    return found


def _looks(file: ScoreFile, group: DiffGroup, numbers: list[int]) -> dict[str, Group]:
    scores = read_scores(file, columns=["raw", "cell"])
    looks: dict[str, Group] = {}
    for number, row in zip(numbers, segments.read_rows(file.segment, numbers), strict=True):
        cell = CELL_CODES[scores["cell"][number].as_py()]
        session = (scores["raw"][number].as_py(), row)
        routing.add_to_group(file, looks, cell, Reason.DISAGREEMENT, group.shape, session)
    routing.read_lines(file, {Reason.DISAGREEMENT: looks})
    return looks
