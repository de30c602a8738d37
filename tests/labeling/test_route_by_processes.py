"""Routing by several processes at once, and by one that dies between its steps: nothing lost, nothing doubled."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.db.models import Sum

from labeling.models import Item, ItemHost, ProofDraw, ProofItem, Queue
from labeling.services import proofs, routing
from models_registry.models import ScoreFile
from tests.labeling.conftest import eve_record, make_scores
from tests.labeling.test_proof import make_version
from tests.processes import at_once, fork

pytestmark = pytest.mark.django_db(transaction=True)
FILES, SESSIONS, UNIQUE = 4, 40, 6


@pytest.fixture
def files(db: None, make_segment) -> list[ScoreFile]:
    """Score files of two versions on the same segments, with flagged and quiet sessions that were never trained on."""
    one = make_version()
    versions = [one, make_version(detector=one.detector)]
    made = []
    for number in range(FILES):
        first = number * SESSIONS
        segment = make_segment([eve_record(n) for n in range(first, first + SESSIONS)])
        made += [make_scores(version, segment, dict.fromkeys(range(UNIQUE), 2.0)) for version in versions]
    return made


def _route_and_die(step: str) -> None:
    """Die as a killed process does: in the transaction that would have taken the file, or just before it."""
    where = (proofs, "write") if step == "in the transaction" else (routing, "counted_files")
    calls: list[int] = []

    def die(*_arguments: Any) -> Any:
        calls.append(1)
        if step == "in the transaction" or len(calls) == 2:
            os._exit(9)
        return set()

    setattr(*where, die)
    routing.route_waiting()


def assert_nothing_lost_or_doubled() -> None:
    assert not ScoreFile.objects.unrouted().exists()
    draws = ProofDraw.objects.all()
    assert ProofItem.objects.count() == draws.aggregate(sum=Sum("drawn"))["sum"]
    assert ProofItem.objects.values("item__subject_key", "version").distinct().count() == ProofItem.objects.count()
    for draw in draws:
        assert draw.items.count() == draw.drawn, draw
    flagged = draws.filter(stratum="")
    assert flagged.aggregate(sum=Sum("sessions"))["sum"] == 2 * FILES * UNIQUE
    passed = draws.exclude(stratum="")
    assert passed.aggregate(sum=Sum("sessions"))["sum"] == 2 * FILES * (SESSIONS - UNIQUE)
    item = Item.objects.get(queue__kind=Queue.Kind.UNIQUE)  # one look
    assert item.sessions == FILES * UNIQUE  # both versions flag the same sessions: counted once
    assert ItemHost.objects.filter(item=item).aggregate(sum=Sum("sessions"))["sum"] == FILES * UNIQUE
    for queue in Queue.objects.all():
        assert queue.waiting == queue.items.count(), queue


def test_four_at_once_draw_and_fold_as_one_would(files):
    assert sum(at_once(routing.route_waiting, [()] * 4)) > 0
    assert_nothing_lost_or_doubled()


@pytest.mark.parametrize("step", ["before the transaction", "in the transaction"])
def test_what_a_dead_process_left_is_taken_up_whole(files, step):
    child = fork(_route_and_die, step)
    child.join(120)
    assert child.exitcode == 9
    assert ScoreFile.objects.unrouted().count() == len(files)
    assert not Item.objects.exists()
    if step == "in the transaction":
        assert ProofDraw.objects.exists()  # decided from counts, and kept
    kept = list(ProofDraw.objects.values_list("pk", "probability", "drawn"))
    routing.route_waiting()
    assert_nothing_lost_or_doubled()
    assert [one for one in ProofDraw.objects.values_list("pk", "probability", "drawn") if one in kept] == kept
