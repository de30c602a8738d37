"""Two retrains at once are one run, also when two processes ask and two workers answer."""

from __future__ import annotations

import time

import pytest

from jobs.models import Job, State
from jobs.services import jobs
from labeling.services import retraining
from models_registry.models import Detector
from tests import factories
from tests.processes import CONTEXT, at_once

pytestmark = pytest.mark.django_db(transaction=True)


def _ask_and_run(detector: int, barrier) -> tuple[int, int]:
    """Ask for a retrain at the same moment as the others, and try to run it; return the job and if work was done."""
    worked = []

    def work(lease):
        worked.append(lease.job.pk)
        time.sleep(0.3)
        return {}

    found = Detector.objects.get(pk=detector)
    barrier.wait(20)
    job = retraining.start(found, reason="test")
    barrier.wait(20)  # everybody has asked before anybody can be done
    jobs.run(job.pk, work)
    return job.pk, len(worked)


def test_four_processes_that_ask_at_once_start_one_run():
    detector = factories.make_detector()
    found = at_once(_ask_and_run, [(detector.pk, CONTEXT.Barrier(4))] * 4)  # one barrier for all
    job = Job.objects.get()
    assert sorted(found) == [(job.pk, 0), (job.pk, 0), (job.pk, 0), (job.pk, 1)]
    assert job.state == State.DONE
    assert job.attempts == 1
