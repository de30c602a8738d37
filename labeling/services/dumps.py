"""Saved captures with a label: each case carries it, and becomes a reference row when a second person agrees."""

from __future__ import annotations

import structlog
from django.db import transaction

from accounts.models import User
from accounts.roles import Role
from detection.fingerprint import fingerprint, shape_of
from detection.selection import CELL_CODES, Reason
from labeling.models import Answer, DumpLabel, Item, Label, Queue, Source
from labeling.services import routing
from labeling.services.queues import queue_of
from labeling.services.routing import Group
from models_registry.models import Detector, ScoreFile, Stage, Version
from models_registry.services.scoring import ScoreMismatch, read_scores
from traffic.models import Intake, Kind, Segment
from traffic.services import segments

log = structlog.get_logger(__name__)
ANALYSTS = (Role.EXPERT, Role.SENIOR, Role.ENGINEER)  # who may say what a capture holds
_STAGES = (Stage.ACTIVE, Stage.SILENT, Stage.CANDIDATE)  # whose verdict an item shows: the strongest there is


class DumpLabelRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The label was not taken; the message is for the person who gave it."""


def check(detector: str, answer: str, analyst: str) -> tuple[Detector, Answer, User]:
    """Return what the words of a command mean. Raises DumpLabelRefused."""
    if answer not in (Answer.POSITIVE, Answer.NEGATIVE):
        raise DumpLabelRefused(f"{answer!r}: a dump is positive or negative")
    found = Detector.objects.filter(name=detector).first()
    if found is None:
        known = ", ".join(Detector.objects.values_list("name", flat=True)) or "none yet"
        raise DumpLabelRefused(f"no detector {detector!r}; there are: {known}")
    user = User.objects.filter(username=analyst, is_active=True).first()
    if user is None or not user.has_role(*ANALYSTS):
        roles = ", ".join(ANALYSTS)
        raise DumpLabelRefused(f"{analyst!r} may not label a dump: it takes an account with one of the roles {roles}")
    return found, Answer(answer), user


@transaction.atomic
def label(intake: Intake, detector: Detector, answer: Answer, analyst: User) -> DumpLabel:
    """Keep what an analyst says about a dump; saying it again changes nothing, saying otherwise is refused."""
    if intake.kind != Kind.DUMP:
        raise DumpLabelRefused(f"{intake} is no saved capture: its sessions are labelled one by one")
    told, is_new = DumpLabel.objects.get_or_create(
        intake=intake, detector=detector, defaults={"answer": answer, "analyst": analyst}
    )
    if not is_new and told.answer != answer:
        raise DumpLabelRefused(f"{told.analyst} called {intake} {told.answer} for {detector} already")
    return told


def route_waiting() -> int:
    """Turn labelled dumps whose segments are scored into items; return how many sessions these stand for."""
    waiting = DumpLabel.objects.uncollected().select_related("intake", "detector", "analyst")
    return sum(_route_or_leave(told) for told in waiting)


def _route_or_leave(told: DumpLabel) -> int:
    try:
        return _route(told)
    except (OSError, ScoreMismatch):  # gone, or not what was written: it holds up nobody
        log.exception("route.failed", dump_label=told.pk)
        return 0


def _route(told: DumpLabel) -> int:
    stored = Segment.objects.sealed().filter(intake=told.intake, protocol=told.detector.protocol)
    files = [strongest_score_file(segment, told.detector) for segment in stored.order_by("id")]
    ready = [file for file in files if file is not None]
    if len(ready) < len(files):
        return 0  # no version has seen it yet
    found = [(file, _fold(file)) for file in ready]
    for file, groups in found:
        routing.read_lines(file, {Reason.DUMP: groups})
    with transaction.atomic():
        if not DumpLabel.objects.take(told.pk):
            return 0
        routed = 0
        for file, groups in found:
            routed += routing.write(file, Reason.DUMP, groups)
            _say(told, groups)
    return routed


def strongest_score_file(segment: Segment, detector: Detector) -> ScoreFile | None:
    """Return the scores that an item shows: of the version in force, else of a silent one, else of a candidate."""
    files = routing.score_files().filter(segment=segment, version__detector=detector, version__stage__in=_STAGES)
    return min(files, key=lambda file: _rank(file.version), default=None)


def _rank(version: Version) -> tuple[int, int]:
    return _STAGES.index(Stage(version.stage)), -version.number


def _fold(file: ScoreFile) -> dict[str, Group]:
    """Return all sessions of a segment by their look."""
    scores = read_scores(file, columns=["raw", "cell"])
    raws, cells = scores["raw"].to_pylist(), scores["cell"].to_pylist()
    groups: dict[str, Group] = {}
    for row, raw, code in zip(segments.read_rows(file.segment, range(len(raws))), raws, cells, strict=True):
        cell, shape = CELL_CODES[code], shape_of(row)
        mark = fingerprint(file.version.detector.name, cell.value, shape)
        groups.setdefault(mark, Group(Reason.DUMP, cell, shape, file.threshold)).rows.append((raw, row))
    return groups


def _say(told: DumpLabel, groups: dict[str, Group]) -> None:
    """Put the analyst's word on the items that are new: an older one has the word of an earlier dump."""
    queue = queue_of(told.detector, Queue.Kind.DUMP)
    Label.objects.bulk_create(
        [
            Label(
                item=item,
                detector=told.detector,
                subject_kind=item.subject_kind,
                subject_key=item.subject_key,
                expert=told.analyst,
                source=Source.DUMP,
                answer=told.answer,
                note=f"dump {told.intake}"[:1000],
            )
            for item in Item.objects.filter(queue=queue, fingerprint__in=list(groups), labels=None)
        ]
    )
