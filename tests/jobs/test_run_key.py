"""Two retrains at once are one run, also when two processes ask and two workers answer."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection

import pytest
from django.db import connections

from jobs.models import Job, State
from jobs.services import jobs
from labeling.services import retraining
from models_registry.models import Detector
from tests import factories
from tests.processes import forget_connections

pytestmark = pytest.mark.django_db(transaction=True)


def _ask_and_run(detector: int, barrier, answers: Connection) -> None:
    """Ask for a retrain at the same moment as the others, and try to run it; send the job and whether work was done."""
    forget_connections()
    worked = []

    def work(lease):
        worked.append(lease.job.pk)
        time.sleep(0.3)
        return {}

    try:
        found = Detector.objects.get(pk=detector)
        barrier.wait(20)
        job = retraining.start(found, reason="test")
        barrier.wait(20)  # everybody has asked before anybody can be done
        jobs.run(job.pk, work)
        answers.send((job.pk, len(worked)))
    except Exception as error:
        answers.send(repr(error))
    finally:
        connections.close_all()


def test_four_processes_that_ask_at_once_start_one_run():
    detector = factories.make_detector()
    connections.close_all()  # a forked child must not share the parent's connection
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    pipes, processes = [], []
    for _ in range(4):
        here, there = context.Pipe(duplex=False)
        processes.append(context.Process(target=_ask_and_run, args=(detector.pk, barrier, there)))
        processes[-1].start()
        pipes.append(here)
    found = [pipe.recv() if pipe.poll(60) else "no answer" for pipe in pipes]
    for process in processes:
        process.join(10)
    job = Job.objects.get()
    assert sorted(found) == [(job.pk, 0), (job.pk, 0), (job.pk, 0), (job.pk, 1)]
    assert job.state == State.DONE
    assert job.attempts == 1
