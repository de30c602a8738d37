"""Ticks never overlap, and a dead holder does not stop the clock."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import time_machine

from jobs.models import Tick
from jobs.services import ticks
from tests.processes import fork

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.django_db
def test_one_holder_at_a_time():
    with ticks.hold("score") as mine:
        assert mine
        with ticks.hold("score") as second, ticks.hold("route") as other:
            assert not second
            assert other
    with ticks.hold("score") as again:
        assert again
    tick = Tick.objects.get(name="score")
    assert tick.runs == 2
    assert tick.lease_until is None
    assert tick.finished_at >= tick.started_at


@pytest.mark.django_db
def test_a_failure_is_kept_and_lets_go():
    def work():
        raise ValueError("a segment is damaged")

    with pytest.raises(ValueError, match="damaged"):
        ticks.run("score", work)
    assert Tick.objects.get().error == "ValueError: a segment is damaged"
    assert ticks.run("score", lambda: 7) == 7
    assert Tick.objects.get().error == ""


@pytest.mark.django_db
def test_a_dead_holder_is_waited_for_as_long_as_its_lease():
    with time_machine.travel(NOON, tick=False) as clock:
        assert ticks._take("score", "died", 30)
        assert ticks.run("score", lambda: 1) is None
        clock.shift(timedelta(seconds=31))
        assert ticks.run("score", lambda: 1) == 1


def _tick_on(log: Path, until: float) -> None:
    """Run ticks as fast as they come; write when each began and ended."""
    while time.monotonic() < until:
        with ticks.hold("score", seconds=1) as mine:
            if mine:
                began = time.monotonic()
                time.sleep(0.02)
                with log.open("a") as file:
                    file.write(f"{began} {time.monotonic()}\n")
        time.sleep(0.005)


@pytest.mark.django_db(transaction=True)
def test_four_processes_never_overlap_even_when_one_is_killed(tmp_path):
    until = time.monotonic() + 5
    processes = [fork(_tick_on, tmp_path / str(number), until) for number in range(4)]
    time.sleep(1)
    os.kill(processes[0].pid, signal.SIGKILL)
    for process in processes:
        process.join(20)
    spans = sorted(
        tuple(map(float, line.split())) for file in tmp_path.iterdir() for line in file.read_text().splitlines()
    )
    assert len(spans) > 20
    assert spans[-1][1] > until - 3  # the clock went on after the kill
    for (_began, ended), (began, _ended) in pairwise(spans):
        assert ended <= began
