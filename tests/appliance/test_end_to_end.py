"""A server, Redis and two appliances as processes: a new bundle arrives while they score, and no session is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from appliance.home import Home
from appliance.scorer import BundleScorer
from models_registry.models import ApplianceReport
from models_registry.services import appliances
from tests.appliance import homes
from tests.feeds import make_feed, make_real_bundle, make_site
from tests.jobs.workers import redis_server

SESSIONS, PER_SECOND = 3000, 250
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def run(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance", "--home", str(home.folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)


@contextmanager
def running(home: Home, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "appliance", "--home", str(home.folder), *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def feed_lines(server: Redis, names: list[str]) -> None:
    began = time.monotonic()
    for number, line in enumerate(homes.lines(SESSIONS)):
        for name in names:
            server.lpush(f"eve-{name}", line)
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))


def test_none_lost_none_doubled_while_a_bundle_arrives(live_server: Any, settings: Any, tmp_path: Path) -> None:
    house = make_feed(settings, tmp_path)
    first, second = make_real_bundle(0.4), make_real_bundle(0.9)
    house.publish(first)
    names = ["north", "south"]
    with redis_server(tmp_path / "redis") as url:
        server = Redis.from_url(url)
        sites = [Home(tmp_path / name) for name in names]
        for name, home in zip(names, sites, strict=True):
            code = appliances.make_code(make_site(name=name), "canary")
            run(home, "enroll", "--server", live_server.url, "--code", code, "--product-version", "5.1")
            run(home, "update")
        scoring = [
            running(home, "score", "--in", f"{url}?list=eve-{name}", "--out", f"{url}?list=out-{name}")
            for name, home in zip(names, sites, strict=True)
        ]
        looking = [running(home, "update", "--every", "0.5") for home in sites]
        with scoring[0] as north, scoring[1] as south, looking[0], looking[1]:
            feeder = threading.Thread(target=feed_lines, args=(server, names))
            feeder.start()
            while server.llen("out-south") < SESSIONS // 3:
                time.sleep(0.05)
            house.publish(second)
            signed = time.monotonic()
            while second.metadata["bundle"] not in _newest(server, "out-north"):
                assert north.poll() is None and south.poll() is None and time.monotonic() < signed + 40
                time.sleep(0.02)
            took = time.monotonic() - signed
            feeder.join()
            deadline = time.monotonic() + 30
            while min(server.llen(f"out-{name}") for name in names) < SESSIONS and time.monotonic() < deadline:
                time.sleep(0.1)
        outs = {name: [json.loads(line) for line in server.lrange(f"out-{name}", 0, -1)] for name in names}
    for name, home in zip(names, sites, strict=True):
        _check(outs[name], home, first, second)
    assert {report.bundle for report in ApplianceReport.objects.all()} == {first, second}
    print(f"\n2 x {SESSIONS} sessions once each; {took:.1f} s from second signature to first verdict")  # noqa: T201


def _newest(server: Redis, name: str) -> str:
    line = server.lindex(name, -1)
    return str(json.loads(line)["etalon"]["bundle"]) if line else ""


def _check(records: list[dict[str, Any]], home: Home, first: Any, second: Any) -> None:
    assert [record["flow_id"] for record in records] == list(range(SESSIONS))
    bundles = [record["etalon"]["bundle"] for record in records]
    change = bundles.index(second.metadata["bundle"])
    assert set(bundles[:change]) == {first.metadata["bundle"]} and set(bundles[change:]) == {second.metadata["bundle"]}
    for record in records[:: SESSIONS // 100]:
        scorer = _scorer(home, record["etalon"]["digest"])
        assert record["etalon"]["fired"] == list(scorer.score(homes.record(record["flow_id"])).detectors)


def _scorer(home: Home, digest: str) -> BundleScorer:
    return BundleScorer.load(home.path_of(digest), digest)
