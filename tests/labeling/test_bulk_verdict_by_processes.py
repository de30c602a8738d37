"""A bulk verdict and its undo by workers that are killed at any moment: nothing lost, nothing given twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from django.utils import timezone

from jobs.models import Job, State
from jobs.services import jobs
from labeling.models import BulkVerdict, GroupCheck, Item, Label, Queue
from labeling.services import bulk, bulk_previews
from labeling.services.details import Given
from labeling.services.filters import EVERYTHING
from tests import factories
from tests.processes import fork

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
ITEMS, MOST_KILLS = 400, 12
Work = Callable[[jobs.Lease], dict[str, Any]]


@pytest.fixture
def given(db, monkeypatch) -> BulkVerdict:
    monkeypatch.setattr(bulk, "CHUNK", 5)
    queue, expert = factories.make_queue(), factories.make_user()
    version = factories.make_version(detector=queue.detector)
    for _ in range(ITEMS):
        factories.make_session_item(queue, version=version)
    shown = bulk_previews.preview(queue, EVERYTHING, expert)
    told = Given("positive", note="drill")
    return bulk.start(queue, EVERYTHING, expert, told, digest=shown.digest, lots=Random(1))


def killed_again_and_again(pk: int, work: Work, lots: Random) -> int:
    """Kill the worker of a job until it ends; return how often."""
    kills = 0
    while Job.objects.get(pk=pk).is_live:
        worker = fork(jobs.run, pk, work)
        worker.join(lots.uniform(0.05, 0.6) if kills < MOST_KILLS else 120)
        if worker.is_alive():
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join(10)
            kills += 1
            # as time would: nobody renews the lease of the dead
            Job.objects.filter(pk=pk, state=State.RUNNING).update(lease_until=timezone.now())
            time.sleep(0.001)
    return kills


def test_kill_9_in_the_middle_loses_and_doubles_nothing(given):
    lots = Random(7)
    kills = killed_again_and_again(given.job_id, bulk.give, lots)
    given.refresh_from_db()
    assert kills > 0
    assert (given.job.state, given.place, given.applied, given.left_out) == (State.DONE, 395, 395, {})
    assert len(given.checks) == GroupCheck.objects.count() == 5
    assert Label.objects.count() == 395
    assert Label.objects.filter(inherited_from=None).get() == given.label
    assert set(Label.objects.values_list("item_id", flat=True)) == set(given.items)
    assert Queue.objects.get().waiting == Item.objects.filter(state="open").count()

    undone = bulk.undo(given, given.by)
    kills = killed_again_and_again(undone.undo_job_id, bulk.take_back, lots)
    given.refresh_from_db()
    assert kills > 0
    assert (given.undo_job.state, given.withdrawn, given.kept) == (State.DONE, 395, 0)
    assert not Label.objects.current().exists()
    assert Label.objects.count() == 2 * 395
    assert not GroupCheck.objects.exists()
