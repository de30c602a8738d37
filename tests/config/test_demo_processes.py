"""The demo's supervisor: children are started again when they die, and end when it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.demo import processes
from config.demo.processes import Child, Supervised, groups_left, how, pause_after, readable

ROOT = Path(__file__).resolve().parent.parent.parent
# a child that has one of its own; both tell their numbers
PARENT = "import os, time; os.fork(); os.write(1, b'%d\\n' % os.getpid()); time.sleep(60)"


class NoWatcher:
    def add(self, group):
        pass

    def remove(self, group):
        pass


@pytest.fixture
def told():
    return []


@pytest.fixture
def child(told):
    supervised = Supervised(Child("sleeper", (sys.executable, "-c", PARENT)), NoWatcher())
    supervised.start(os.environ, lambda name, text: told.append((name, text)))
    wait_for(lambda: len(told) == 2)
    yield supervised
    supervised.end()


def wait_for(true, patience=20):
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a zombie is dead; containers may have nobody who buries it
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return not listed.stdout.strip().startswith("Z") and bool(listed.stdout.strip())


def test_pauses_grow_and_stay_bearable():
    assert [pause_after(ends) for ends in (0, 1, 2, 3, 10)] == [1, 2, 4, 8, 30]


def test_how_a_child_ended_is_said_in_words():
    assert how(-9) == "by SIGKILL"
    assert how(1) == "with exit code 1"


def test_lines_cannot_steer_the_terminal():
    assert readable(b"\x1b[2Jgone\r\n") == "\ufffd[2Jgone"
    assert readable(b"\xff ok\n") == "\ufffd ok"


def test_lines_of_a_child_come_with_its_name(child, told):
    assert {name for name, _text in told} == {"sleeper"}


def test_a_killed_child_is_due_again_after_a_pause_and_takes_its_own_along(child, told):
    pids = [int(text) for _name, text in told]
    assert child.ended() is None
    os.kill(min(pids), signal.SIGKILL)
    said = []
    wait_for(lambda: said.append(child.ended()) or said[-1])
    assert said[-1].startswith("ended by SIGKILL after")
    assert said[-1].endswith("starts again in 2 s")
    assert not child.is_due
    child.due = 0
    assert child.is_due
    wait_for(lambda: not any(map(is_alive, pids)))
    child.start(os.environ, lambda name, text: told.append((name, text)))
    wait_for(lambda: len(told) == 4)
    assert child.ended() is None


def test_a_child_that_lived_long_is_not_held_to_its_past(child, told):
    child.early_ends = 4
    child._began -= processes.STEADY
    os.kill(min(int(text) for _name, text in told), signal.SIGKILL)
    said = []
    wait_for(lambda: said.append(child.ended()) or said[-1])
    assert said[-1].endswith("starts again in 1 s")


def test_groups_that_ended_are_not_ended_again():
    assert groups_left([b"+10\n", b"+11\n", b"-10\n", b"+12\n"]) == {11, 12}


def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path):
    code = f"""
import os, time
from config.demo.processes import Child, Supervised, Watcher
watcher = Watcher()
Supervised(Child("sleeper", ({sys.executable!r}, "-c", {PARENT!r})), watcher).start(
    os.environ, lambda name, text: print(text, flush=True))
time.sleep(60)
"""
    supervisor = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pids = [int(supervisor.stdout.readline()) for _ in range(2)]
    assert all(map(is_alive, pids))
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not any(map(is_alive, pids)))


WATCHED = """
import os, signal, time
from config.demo.processes import Watcher
watcher = Watcher()
time.sleep(0.2)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    os.kill(watcher.pid, number)
time.sleep(0.2)
print(os.waitpid(watcher.pid, os.WNOHANG) == (0, 0))
os.kill(watcher.pid, signal.SIGKILL)
os.waitpid(watcher.pid, 0)
watcher.add(1)
watcher.remove(1)
print("on")
"""


def test_a_watcher_is_ended_by_nothing_but_a_kill_and_is_not_missed_then():
    done = subprocess.run([sys.executable, "-c", WATCHED], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("True\non\n", "")


def test_what_refuses_to_end_is_killed(monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.5)
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", stubborn], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    processes.end_groups({process.pid})
    assert process.wait(5) == -signal.SIGKILL


def test_all_queues_have_a_worker_and_training_has_its_own():
    queues = [
        child.command[child.command.index("-Q") + 1] for child in processes.children(8000) if "-Q" in child.command
    ]
    assert sorted(queues) == ["pipeline,notices", "training"]
    assert processes.children(8000)[0].name == "web"
    assert "--no-colleagues" in processes.children(8000, colleagues=False)[-1].command
