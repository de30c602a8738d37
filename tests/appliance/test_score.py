"""Lines in, verdict records out: once each, whatever ends in between, and bundles switched on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from appliance.home import Home
from appliance.run import Policy, Runner
from appliance.scorer import BundleScorer
from tests.appliance import homes
from tests.jobs.workers import redis_server


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def flows(records: list[dict[str, Any]]) -> list[int]:
    return [record["flow_id"] for record in records]


def expected(home: Home, numbers: range) -> list[list[str]]:
    one = home.in_force()["http"]
    scorer = BundleScorer.load(home.path_of(one.digest), one.digest)
    return [list(scorer.score(homes.record(number)).detectors) for number in numbers]


def test_a_file_is_scored_line_by_line(tmp_path: Path) -> None:
    home, source, sink = homes.make_home(tmp_path / "home"), tmp_path / "eve.json", tmp_path / "out.json"
    source.write_bytes(b"\n".join([*homes.lines(50), b'{"http" broken', b'{"event_type":"dns"}']) + b"\n")
    done = Runner(home, str(source), str(sink)).run()
    records = told(sink)
    assert (done.sessions, done.bad, flows(records)) == (50, 1, list(range(50)))
    assert [record["etalon"]["fired"] for record in records] == expected(home, range(50))
    assert {record["etalon"]["bundle"] for record in records} == {home.in_force()["http"].bundle}
    assert 0 < done.fired < 50


def test_no_odd_byte_or_number_hides_a_session_or_stops_the_rest(tmp_path: Path) -> None:
    home, source, sink = homes.make_home(tmp_path / "home"), tmp_path / "eve.json", tmp_path / "out.json"
    odd, deep, last = homes.lines(3)
    odd = odd.replace(b'"url": "', b'"url": "\xff')
    deep = deep.replace(b'"flow_id": 1', b'"flow_id": 1' + b"0" * 30 + b', "src_port": ' + b"[" * 400 + b"]" * 400)
    source.write_bytes(b"\n".join([odd, deep, last]) + b"\n")
    assert Runner(home, str(source), str(sink)).run().sessions == 3
    assert [record.get("flow_id") for record in told(sink)] == [0, None, 2]


def test_a_second_run_begins_where_the_first_ended(tmp_path: Path) -> None:
    home, source, sink = homes.make_home(tmp_path / "home"), tmp_path / "eve.json", tmp_path / "out.json"
    source.write_bytes(b"\n".join(homes.lines(10)) + b"\n")
    Runner(home, str(source), str(sink)).run()
    with source.open("ab") as file:
        file.write(b"\n".join(homes.lines(5, 10)) + b"\n")
    with sink.open("ab") as file:
        file.write(b'{"torn": "by a crash after the last settled answer"')
    Runner(home, str(source), str(sink)).run()
    assert flows(told(sink)) == list(range(15))


def test_a_growing_file_is_followed_through_its_rotation_and_a_new_bundle_is_taken_up(tmp_path: Path) -> None:
    home, source, sink = homes.make_home(tmp_path / "home"), tmp_path / "eve.json", tmp_path / "out.json"
    source.write_bytes(b"\n".join(homes.lines(10)) + b"\n")
    steps: Iterator[int] = iter(range(100))

    def stop() -> bool:
        step = next(steps)
        if step == 1:
            homes.put_in_force(home, homes.bundle(0.9))
            source.rename(tmp_path / "eve.json.1")
            source.write_bytes(b"\n".join(homes.lines(10, 10)) + b"\n")
        return step == 6

    done = Runner(home, str(source), str(sink), Policy(follow=True)).run(stop)
    records = told(sink)
    assert flows(records) == list(range(20))
    assert len({record["etalon"]["bundle"] for record in records}) == 2
    assert done.switches == 1


def test_a_damaged_new_bundle_never_comes_into_force(tmp_path: Path) -> None:
    home = homes.make_home(tmp_path / "home")
    runner = Runner(home, str(tmp_path / "eve.json"), str(tmp_path / "out.json"))
    homes.put_in_force(home, homes.bundle(0.9))
    home.path_of(home.in_force()["http"].digest).write_bytes(b"half of it")
    (tmp_path / "eve.json").write_bytes(b"\n".join(homes.lines(5)) + b"\n")
    assert runner.run().switches == 0
    assert flows(told(tmp_path / "out.json")) == list(range(5))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis") / "data") as url:
        yield Redis.from_url(url)


def _runner(home: Home, server: Redis, source: str, sink: str) -> Runner:
    where = "redis://{host}:{port}/{db}".format(**server.get_connection_kwargs())
    return Runner(home, f"{where}?{source}", f"{where}?{sink}")


@pytest.mark.parametrize("kind", ["list", "stream"])
def test_redis_gives_every_line_once_also_after_a_crash(tmp_path: Path, server: Redis, kind: str) -> None:
    server.flushall()
    home = homes.make_home(tmp_path / "home")
    for line in homes.lines(30):
        server.lpush("eve", line) if kind == "list" else server.xadd("eve", {"eve": line})
    first = _runner(home, server, f"{kind}=eve", f"{kind}=out")
    taken = next(iter(first._input.batches()))  # and then it dies
    assert len(taken) == 30
    turns = iter(range(100))
    _runner(home, server, f"{kind}=eve", f"{kind}=out").run(lambda: next(turns) > 2)
    if kind == "list":
        out = [json.loads(line) for line in server.lrange("out", 0, -1)]
        assert server.keys("eve*") == []
    else:
        out = [json.loads(fields[b"eve"]) for _id, fields in server.xrange("out")]
        assert server.xpending("eve", "etalon")["pending"] == 0
    assert flows(out) == list(range(30))
