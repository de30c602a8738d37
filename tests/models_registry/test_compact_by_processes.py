"""kill -9 of compactions and of retention at random moments: nothing is lost or doubled, no stray file is left."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from jobs.models import Job, State
from jobs.services import jobs, parts
from models_registry.models import Correction, ScoreFile
from models_registry.services import compaction, corrections, indicators, retention, scoring
from models_registry.services.detectors import make_detector
from tests.models_registry import loop
from tests.models_registry.stored_facts import facts, files, files_with_a_row
from tests.processes import fork
from traffic.models import Segment
from traffic.services import late_hits, runs
from traffic.services import retention as traffic_retention

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
FILES, SESSIONS, KILLS = 24, 20, 15


def compact_what_is_due() -> None:
    """What clock, sweeper and a worker do."""
    jobs.sweep()
    compaction.start_due()
    for job in Job.objects.live():
        parts.run(job.pk, lambda part, job=job: compaction.work(job, part))  # type: ignore[misc]


def wait_for_a_draft() -> bool:
    """Wait until a worker has begun to merge; False where nothing is left to."""
    known = Segment.objects.latest("pk").pk
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        if Segment.objects.filter(pk__gt=known).exists():
            return True
        time.sleep(0.003)
    return False


def _worker(rounds: int) -> None:
    for _ in range(rounds):
        compact_what_is_due()
    os._exit(0)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Several batches of one day; what a killed worker held is free after a moment."""
    policy = compaction.POLICY
    for name in ("models_registry.services.compaction.POLICY", "traffic.services.compaction.POLICY"):
        monkeypatch.setattr(name, type(policy)(most_rows=100, small_rows=90, least_sorted=1))
    settings.JOB_LEASE_SECONDS = 0.3


def test_killed_compactions_lose_and_double_nothing(small_batches: None, tmp_path: Path) -> None:
    for number in range(FILES):
        folder = tmp_path / str(number)
        folder.mkdir()
        first = number * SESSIONS + 1
        records = [
            loop.http(flow, f"/page/{flow}", src_ip=f"10.0.0.{flow % 50}") for flow in range(first, first + SESSIONS)
        ]
        hit = [loop.hit(first), *(loop.http(first + 2, "/cgi-bin/x;wget y", tx_id=1), loop.hit(first + 2, tx_id=1))]
        loop.take_in(folder, [*records, *hit])
    loop.take_in(tmp_path, [loop.hit(flow) for flow in range(5, FILES * SESSIONS, 9)], "late.json")
    late_hits.collect()
    loop.first_version(make_detector(loop.SPEC))
    scoring.score_waiting()
    indicators.import_list("hosts", "address", b"10.0.0.3\n10.0.0.4\n")
    indicators.match_waiting()
    ScoreFile.objects.update(routed_at=timezone.now())
    Segment.objects.update(created_at=F("created_at") - timedelta(hours=3))
    before = facts()
    assert len(before["sessions"]) == FILES * (SESSIONS + 1)
    dice = random.Random(11)
    interrupted = 0
    for _ in range(KILLS):
        victim = fork(_worker, 50)
        interrupted += wait_for_a_draft()
        time.sleep(dice.uniform(0.0, 0.06))  # somewhere between its first file and the end of the switch
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
        if dice.random() < 0.3:
            assert facts() == before
    assert interrupted > 3
    deadline = time.monotonic() + 40
    while (compaction.plan().batches or Job.objects.live().exists()) and time.monotonic() < deadline:
        compact_what_is_due()
        time.sleep(0.1)
    merged = Segment.objects.sealed()
    assert not compaction.plan().batches
    assert 4 < merged.count() < FILES // 2
    assert not merged.filter(compacted_at=None).exists()
    assert facts() == before
    Segment.objects.exclude(merged_into=None).update(deleted_at=timezone.now() - timedelta(hours=2))
    time.sleep(0.4)  # until the last lease is over
    runs.discard_leftovers()
    traffic_retention.delete_old()
    retention.discard_scores()
    corrections.discard_old_files()
    assert facts() == before
    assert files() == {path for path in files_with_a_row() if path in files()}
    assert not Segment.objects.filter(sealed_at=None).exists()
    assert not Job.objects.filter(state=State.RUNNING).exists()
    assert not Correction.objects.exclude(old_path="").exists()


def test_a_killed_retention_is_finished_by_the_next(tmp_path: Path) -> None:
    count = 40
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        loop.take_in(folder, [loop.http(number * 10 + flow, "/") for flow in range(1, 4)])
    old = Segment.objects.order_by("pk")[: count // 2]
    kept = set(Segment.objects.order_by("pk")[count // 2 :].values_list("pk", flat=True))
    Segment.objects.filter(pk__in=[one.pk for one in old]).update(created_at=timezone.now() - timedelta(days=100))
    dice = random.Random(5)
    for _ in range(12):
        victim = fork(_retention)
        time.sleep(dice.uniform(0.0, 0.06))
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
        for segment in Segment.objects.sealed():  # whatever may be used is there
            assert segment.pk in kept or segment.deleted_at is None
            assert {segment.sessions_path, segment.raw_path} <= files()
    traffic_retention.delete_old()
    assert set(Segment.objects.sealed().values_list("pk", flat=True)) == kept
    assert {path for path in files() if path.startswith("segments/")} == {
        path for one in Segment.objects.sealed() for path in (one.sessions_path, one.raw_path)
    }


def _retention() -> None:
    for _ in range(20):
        traffic_retention.delete_old()
    os._exit(0)
