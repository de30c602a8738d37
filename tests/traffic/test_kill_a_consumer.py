"""kill -9 of real consumers at random moments, 100,000 lines: nothing is lost and nothing comes twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from models_registry.models import ScoreFile, Version
from tests.jobs.workers import redis_broker, wait_for
from tests.models_registry import loop
from tests.traffic import stream_feed
from tests.traffic.stream_feed import Consumers, consumers, kill
from tests.traffic.test_ingest import ROOT, child_environment
from traffic.models import Segment, Stream

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
EVENTS = 100_000
SECONDS = 40  # in which they come
KILLS = 12


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with redis_broker(tmp_path / "redis") as broker:
        yield broker.environment["CELERY_BROKER_URL"]


def feeding(feed: list[bytes], write: Callable[[list[bytes]], None]) -> threading.Thread:
    """Write a feed in small pieces, as time goes by."""

    def work() -> None:
        began = time.monotonic()
        for first in range(0, len(feed), 200):
            write(feed[first : first + 200])
            time.sleep(max(0.0, began + SECONDS * first / len(feed) - time.monotonic()))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def kill_at_random(children: Consumers, names: tuple[str, ...], feeder: threading.Thread, choice: random.Random) -> int:
    """Kill and start anew while lines come; now and then one dies before it has begun."""
    running = {name: children.start(name) for name in names}
    kills = 0
    while feeder.is_alive() or kills < KILLS:
        name = choice.choice(names)
        if kills < len(names) or choice.random() < 0.8:
            children.wait_for_begin(running[name])
        time.sleep(choice.uniform(0, 4))
        kill(running[name])
        kills += 1
        running[name] = children.start(name)
    for process in running.values():
        kill(process)
    return kills


def check(feed: list[bytes], kills: int, what: str, *, orphans: float) -> None:
    counted = stream_feed.stored()
    assert {name: counted[name] for name in ("lines", "http", "rule_hits", "keys")} == stream_feed.expected(feed)
    assert counted["joined"] + counted["orphans"] == counted["rule_hits"]
    assert counted["orphans"] <= orphans * counted["rule_hits"], counted
    assert not Segment.objects.filter(sealed_at=None).exists()
    print(f"\n{what}: {kills} kills, {counted}")  # noqa: T201 - shown by -s


@pytest.mark.parametrize("kind", ["list", "stream"])
def test_of_a_redis(kind: str, redis_url: str, tmp_path: Path) -> None:
    feed = stream_feed.lines(EVENTS)
    server = redis.Redis.from_url(redis_url)

    def write(some: list[bytes]) -> None:
        if kind == "list":
            server.lpush("eve", *some)
            return
        pipe = server.pipeline(transaction=False)
        for line in some:
            pipe.xadd("eve", {"eve": line})
        pipe.execute()

    feeder = feeding(feed, write)
    with consumers(tmp_path, "--redis", redis_url, f"--{kind}", "eve") as children:
        kills = kill_at_random(children, ("a",), feeder, random.Random(kind))
        children.drain()
    check(feed, kills, kind, orphans=0.001)


@pytest.mark.parametrize("way", ["renamed", "copied"])
def test_of_a_file_that_is_rotated(way: str, tmp_path: Path) -> None:
    feed = stream_feed.lines(EVENTS)
    log = tmp_path / "eve.json"
    written = 0

    def write(some: list[bytes]) -> None:
        nonlocal written
        stream_feed.feed_file(log, some)
        written += len(some)
        if written % 10_000 == 0:
            rotate(log, way)

    with consumers(tmp_path, "--follow", str(log)) as children:
        write(feed[:200])
        first = children.start()  # what was rotated before anybody ever came would not be read
        wait_for(Stream.objects.exists, "the first start")
        kill(first)
        feeder = feeding(feed[200:], write)
        kills = kill_at_random(children, ("a",), feeder, random.Random(way))
        children.drain()
    check(feed, kills, f"file, {way}", orphans=0.001)


def rotate(log: Path, way: str) -> None:
    """What logrotate does; the oldest ones stay."""
    for number in range(20, 0, -1):
        if (older := log.with_name(f"eve.json.{number}")).exists():
            older.rename(log.with_name(f"eve.json.{number + 1}"))
    first = log.with_name("eve.json.1")
    if way == "renamed":
        log.rename(first)
        time.sleep(0.1)  # nobody writes for a moment
    else:
        first.write_bytes(log.read_bytes())
        os.truncate(log, 0)
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["list", "stream"])
def test_of_two_consumers_with_two_scorers_beside_them(kind: str, redis_url: str, tmp_path: Path) -> None:
    version = loop.make_loop(tmp_path)
    feed = stream_feed.lines(EVENTS, first=1_000_000)
    server = redis.Redis.from_url(redis_url)

    def write(some: list[bytes]) -> None:
        if kind == "list":
            server.lpush("eve", *some)
            return
        for line in some:
            server.xadd("eve", {"eve": line})

    scorers = [start_scorer(tmp_path / f"scorer-{number}.log") for number in range(2)]
    try:
        feeder = feeding(feed, write)
        with consumers(tmp_path, "--redis", redis_url, f"--{kind}", "eve") as children:
            kills = kill_at_random(children, ("a", "b"), feeder, random.Random(kind))
            children.drain("a")
            children.drain("b")
            children.drain("a")
        deadline = time.monotonic() + 120
        waiting = Segment.objects.sealed().filter(protocol="http")
        while ScoreFile.objects.filter(version=version).count() < waiting.count() and time.monotonic() < deadline:
            time.sleep(0.5)
    finally:
        for scorer in scorers:
            kill(scorer)
    counted = stream_feed.stored("s")
    assert {name: counted[name] for name in ("lines", "http", "rule_hits", "keys")} == stream_feed.expected(feed)
    assert counted["joined"] + counted["orphans"] == counted["rule_hits"]
    streamed = waiting.filter(sensor__name="s")
    assert Version.objects.scoring().get() == version
    scored = ScoreFile.objects.filter(version=version, segment__in=streamed)
    assert scored.count() == streamed.count()
    assert sum(cells(one) for one in scored) == sum(scored.values_list("rows", flat=True)) == counted["http"]
    print(f"\ntwo consumers of a {kind}, two scorers: {kills} kills, {streamed.count()} segments, {counted}")  # noqa: T201


def cells(scored: ScoreFile) -> int:
    """Return the sessions on the board, in whichever cell."""
    known = scored.covered + scored.unique_candidates + scored.missed + scored.quiet
    return known + scored.uninspected_positive + scored.uninspected_negative


SCORER = """
import time
import django
django.setup()
from models_registry.services.scoring import score_waiting
while True:
    score_waiting()
    time.sleep(0.2)
"""


def start_scorer(log: Path) -> subprocess.Popen[bytes]:
    """What a worker does when the clock ticks."""
    environment = child_environment() | {"DJANGO_SETTINGS_MODULE": "config.settings", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as lines:
        return subprocess.Popen([sys.executable, "-c", SCORER], cwd=ROOT, env=environment, stdout=lines, stderr=lines)
