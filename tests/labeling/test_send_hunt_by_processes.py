"""A sent hunt and its undo by workers that are killed at any moment: every item whole, and made once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from django.utils import timezone

from jobs.models import Job, State
from jobs.services import jobs
from labeling.models import HuntSend, Item, ItemHost, ItemRecord, ItemState, Queue
from labeling.services import hunt_sends
from tests import factories
from tests.labeling.conftest import make_scores
from tests.models_registry.loop import http, take_in
from tests.processes import fork
from traffic.models import Segment

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
LOOKS, MOST_KILLS = 60, 8


@pytest.fixture
def sent(db, tmp_path, monkeypatch) -> HuntSend:
    monkeypatch.setattr(hunt_sends, "CHUNK", 2)
    letters = "abcdefghij"
    paths = [f"/{letters[n // 10]}{letters[n % 10]}-page/" for n in range(LOOKS)]
    take_in(tmp_path, [http(n, f"{paths[n % LOOKS]}{n}") for n in range(3 * LOOKS)])
    version = factories.make_version(detector=factories.make_detector(name="http-attacks"), stage="silent")
    make_scores(version, Segment.objects.get(), {})
    by, now = factories.make_user(), timezone.now()
    return hunt_sends.start("", version.detector, by, "drill", since=None, until=now)


def killed_again_and_again(pk: int, work: Callable[[jobs.Lease], dict[str, Any]], lots: Random) -> int:
    """Kill the worker of a job until it ends; return how often."""
    kills = 0
    while Job.objects.get(pk=pk).is_live:
        worker = fork(jobs.run, pk, work)
        worker.join(lots.uniform(0.2, 1.0) if kills < MOST_KILLS else 120)
        if worker.is_alive():
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join(10)
            kills += 1
            # as time would: nobody renews the lease of the dead
            Job.objects.filter(pk=pk, state=State.RUNNING).update(lease_until=timezone.now())
    return kills


def test_kill_9_in_the_middle_loses_and_doubles_nothing(sent):
    lots = Random(7)
    kills = killed_again_and_again(sent.job_id, hunt_sends.send, lots)
    items = Item.objects.filter(queue=sent.queue)
    assert kills > 0
    assert Job.objects.get(pk=sent.job_id).state == State.DONE
    assert items.count() == ItemRecord.objects.count() == sent.sent.count() == LOOKS
    assert {item.sessions for item in items} == {3}
    assert sum(ItemHost.objects.values_list("sessions", flat=True)) == 3 * LOOKS
    assert Queue.objects.get(pk=sent.queue_id).waiting == LOOKS
    hunt_sends.undo(sent, sent.by)
    sent.refresh_from_db()
    killed_again_and_again(sent.undo_job_id, hunt_sends.take_back, lots)
    assert items.filter(state=ItemState.EXPIRED).count() == LOOKS
    assert Queue.objects.get(pk=sent.queue_id).waiting == 0
