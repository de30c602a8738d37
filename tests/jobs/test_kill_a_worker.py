"""kill -9 of a real worker in the middle: after a restart and the sweeper nothing is lost and nothing is doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from jobs.models import Job, Part, State
from jobs.services import broker as broker_service
from jobs.services import jobs
from labeling.services import retraining
from models_registry.models import GateReport, ScoreFile, Snapshot, Stage, StageChange, TrainingSet, Version
from models_registry.services import candidates
from tests.jobs.workers import Broker, file_broker, kill, redis_broker, wait_for
from tests.models_registry import loop
from traffic.models import Segment

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
LOGS = 60
BROKERS = {"redis": redis_broker, "files": file_broker}


@pytest.fixture(params=BROKERS)
def broker(request, tmp_path, monkeypatch, settings) -> Iterator[Broker]:
    settings.JOB_LEASE_SECONDS = settings.JOB_RESEND_SECONDS = 2
    settings.JOB_HELPERS = 2
    with BROKERS[request.param](tmp_path / "broker") as found:
        monkeypatch.setattr(broker_service, "send", found.send)
        yield found


@pytest.fixture
def first(db, tmp_path) -> Version:
    """A first version, and many segments that no other version has seen."""
    version = loop.make_loop(tmp_path)
    for number in range(LOGS - 1):
        records = [loop.http(10_000 + 50 * number + place, f"/page/{number}/{place}") for place in range(40)]
        loop.take_in(tmp_path, records, f"log-{number}.eve.json")
    return version


def score_files() -> list[Path]:
    root = Path(django_settings.ETALON_STORAGE.removeprefix("file://"))
    return list((root / "scores").rglob("*.parquet"))


def test_in_the_middle_of_scoring(broker, first, tmp_path):
    Version.objects.update(stage=Stage.CANDIDATE)
    sessions = sum(Segment.objects.values_list("rows", flat=True))
    job = candidates.start(first)
    worker = broker.start_worker(tmp_path / "worker.log")
    wait_for(lambda: ScoreFile.objects.count() >= 10, "ten score files")
    kill(worker)
    at_kill = ScoreFile.objects.count()
    assert at_kill < LOGS, "too fast: the kill came after the work"
    assert Job.objects.get().state == State.RUNNING
    began = time.monotonic()
    broker.start_worker(tmp_path / "worker.log")
    wait_for(lambda: not Job.objects.live().exists(), log(tmp_path), also=jobs.sweep)
    job.refresh_from_db()
    assert job.state == State.DONE, job.error
    assert job.done == job.total == sessions
    assert Part.objects.filter(state=State.DONE).count() == LOGS
    assert ScoreFile.objects.count() == Segment.objects.count() == LOGS
    assert len(score_files()) == LOGS
    assert sum(ScoreFile.objects.values_list("rows", flat=True)) == sessions
    assert candidates.coverage(first).complete
    again = Part.objects.filter(attempts__gt=1).count()
    assert again <= 2  # those that were at hand
    tell(f"scoring: killed at {at_kill} of {LOGS} files, {again} parts tried twice", began)


def test_in_the_middle_of_training(broker, first, tmp_path):
    before = (StageChange.objects.count(), Snapshot.objects.count())
    job = retraining.start(first.detector, reason="test")
    assert retraining.start(first.detector, reason="twice") == job
    worker = broker.start_worker(tmp_path / "worker.log")
    wait_for(lambda: Job.objects.filter(pk=job.pk, done__gte=1).exists(), log(tmp_path), pause=0.005)
    kill(worker)
    assert Version.objects.count() == 1, "too fast: the kill came after the work"
    began = time.monotonic()
    broker.start_worker(tmp_path / "worker.log")
    wait_for(lambda: not Job.objects.live().exists(), log(tmp_path), also=jobs.sweep)
    job.refresh_from_db()
    assert job.state == State.DONE, job.error
    assert job.attempts == 2
    assert Version.objects.count() == 2
    assert StageChange.objects.count() == before[0] + 1
    assert Snapshot.objects.count() == before[1] + 1
    assert TrainingSet.objects.count() == 1  # nobody has said anything new: the same bytes are the same set
    assert GateReport.objects.count() == 1
    made = Version.objects.latest("id")
    assert job.result["version"] == str(made)
    # and the candidate's own job followed, once
    assert Job.objects.filter(kind=candidates.KIND).count() == 1
    assert candidates.coverage(made).complete
    assert len(score_files()) == LOGS
    tell("training: killed after one of its models, one version", began)


def tell(what: str, began: float) -> None:
    print(f"\n{what}, whole {time.monotonic() - began:.1f} s after the kill")  # noqa: T201 - shown by -s


def log(folder: Path) -> str:
    return f"the end; see {folder / 'worker.log'}"
