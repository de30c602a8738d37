"""Late hits by several processes at once, some of them killed: every hit counts once, on the board and on the item."""

from __future__ import annotations

import os
import random
import signal
import time

import orjson
import pytest

from labeling.models import Item, ItemHost
from labeling.services import late_hits as item_hits
from labeling.services.routing import route_waiting
from models_registry.models import Correction, ScoreFile
from models_registry.services import boards, corrections
from tests import factories
from tests.labeling.conftest import eve_record, make_scores
from tests.processes import fork
from traffic.models import Intake, LateHit, Segment
from traffic.services import ingest, late_hits

SEGMENTS, ROWS, HIT = 4, 30, 10


def _work(rounds: int) -> None:
    for _ in range(rounds):
        late_hits.collect()
        corrections.correct_waiting()
        item_hits.correct_waiting()
    os._exit(0)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [0, 6])
@pytest.mark.django_db(transaction=True)
def test_workers_beside_each_other_and_killed_ones_count_every_hit_once(make_segment, tmp_path, kills):
    version = factories.make_version()
    for start in range(0, SEGMENTS * ROWS, ROWS):
        segment = make_segment([eve_record(number) for number in range(start, start + ROWS)])
        make_scores(version, segment, dict.fromkeys(range(ROWS), 2.0))
    # as scoring would have counted: make_scores stores the rows only
    ScoreFile.objects.update(unique_candidates=ROWS)
    route_waiting()
    for start in range(0, SEGMENTS * ROWS, ROWS):  # hits of each segment in a log of their own
        lines = []
        for number in range(start, start + HIT):
            told = {"signature_id": 7, "signature": "ET late", "category": "Attack", "severity": 1}
            record = eve_record(number) | {"event_type": "alert", "alert": told}
            lines.append(orjson.dumps({name: value for name, value in record.items() if name != "http"}))
        path = tmp_path / f"late-{start}.json"
        path.write_bytes(b"\n".join(lines))
        ingest.ingest_paths([path], "core-1")
    dice = random.Random(7)
    for _ in range(kills):
        victim = fork(_work, 100)
        time.sleep(dice.uniform(0.0, 0.4))
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
    processes = [fork(_work, 3) for _ in range(3)]
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    hit = SEGMENTS * HIT
    assert LateHit.objects.count() == hit == sum(Segment.objects.values_list("late_hits", flat=True))
    assert sum(Intake.objects.values_list("late_hits", flat=True)) == hit
    board = boards.board(version)
    assert (board.covered.sessions, board.unique.sessions) == (hit, SEGMENTS * ROWS - hit)
    item = Item.objects.get(state="open")
    assert item.sessions == SEGMENTS * ROWS - hit
    assert sum(ItemHost.objects.filter(item=item).values_list("sessions", flat=True)) == item.sessions
    assert not Correction.objects.uncollected().exists()
    assert not ScoreFile.objects.outdated().exists()
