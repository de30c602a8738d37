"""Compactions, killed ones too, beside routing, late hits, corrections and retention: nothing gets lost between."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import timedelta

import orjson
import pytest
from django.db.models import F

from labeling.models import Item, ItemHost
from labeling.services import late_hits as item_hits
from labeling.services.routing import route_waiting
from models_registry.models import Correction, ScoreFile
from models_registry.services import boards, compaction, corrections
from tests import factories
from tests.labeling.conftest import eve_record, make_scores
from tests.models_registry.test_compact_by_processes import compact_what_is_due, small_batches
from tests.processes import fork
from traffic import storage
from traffic.models import Intake, LateHit, Segment
from traffic.services import ingest, late_hits, retention, runs

__all__ = ["small_batches"]
SEGMENTS, ROWS, HIT, KILLS = 24, 20, 6, 10


def _others(rounds: int) -> None:
    for _ in range(rounds):
        late_hits.collect()
        corrections.correct_waiting()
        item_hits.correct_waiting()
        route_waiting()
        retention.delete_old()
        runs.discard_leftovers()
    os._exit(0)


def _compactions(rounds: int) -> None:
    for _ in range(rounds):
        compact_what_is_due()
    os._exit(0)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_compactions_beside_others_and_killed_ones(make_segment, tmp_path, small_batches):
    version = factories.make_version()
    for start in range(0, SEGMENTS * ROWS, ROWS):
        segment = make_segment([eve_record(number) for number in range(start, start + ROWS)])
        make_scores(version, segment, dict.fromkeys(range(ROWS), 2.0))
    for file in ScoreFile.objects.all():  # as scoring would have written
        table = storage.get_table(file.path)
        ScoreFile.objects.filter(pk=file.pk).update(digest=storage.put_table(file.path, table), unique_candidates=ROWS)
    Segment.objects.update(source="office", created_at=F("created_at") - timedelta(hours=3))
    for start in range(0, SEGMENTS * ROWS, ROWS):  # hits of each segment in a log of their own
        lines = []
        for number in range(start, start + HIT):
            told = {"signature_id": 7, "signature": "ET late", "category": "Attack", "severity": 1}
            record = eve_record(number) | {"event_type": "alert", "alert": told}
            lines.append(orjson.dumps({name: value for name, value in record.items() if name != "http"}))
        (tmp_path / f"late-{start}.json").write_bytes(b"\n".join(lines))
    dice = random.Random(3)
    others = [fork(_others, 12) for _ in range(2)]
    for turn in range(KILLS):  # logs of hits come while segments are being merged
        for start in range(turn * ROWS, SEGMENTS * ROWS, KILLS * ROWS):
            ingest.ingest_paths([tmp_path / f"late-{start}.json"], "core-1")
        victim = fork(_compactions, 100)
        time.sleep(dice.uniform(0.1, 0.6))
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
    for process in others:
        process.join(60)
        assert process.exitcode == 0
    time.sleep(0.4)  # until the last lease is over
    deadline = time.monotonic() + 30
    while (compaction.plan().batches or LateHit.objects.count() < SEGMENTS * HIT) and time.monotonic() < deadline:
        for work in (_others, _compactions):
            fork(work, 2).join(60)
    hit = SEGMENTS * HIT
    assert not Segment.objects.sealed().filter(compacted_at=None).exists()
    assert sum(Segment.objects.sealed().values_list("rows", flat=True)) == SEGMENTS * ROWS
    assert LateHit.objects.count() == hit == sum(Intake.objects.values_list("late_hits", flat=True))
    board = boards.board(version)
    assert (board.covered.sessions, board.unique.sessions) == (hit, SEGMENTS * ROWS - hit)
    [item] = Item.objects.filter(state="open")
    assert item.sessions == SEGMENTS * ROWS - hit
    assert sum(ItemHost.objects.filter(item=item).values_list("sessions", flat=True)) == item.sessions
    assert not Correction.objects.uncollected().exists()
    assert not ScoreFile.objects.outdated().exists()
    assert not ScoreFile.objects.unrouted().exists()
