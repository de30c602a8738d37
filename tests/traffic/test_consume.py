"""`manage.py consume`: streams become segments once, whatever happens on the way."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import OperationalError

from tests.detection import eve
from tests.jobs.workers import redis_broker, wait_for
from tests.traffic import stream_feed
from traffic.models import Intake, Segment, Stream
from traffic.services import ingest, rule_sets, runs, segments
from traffic.services.streams import Batch, Position, Source, StreamPolicy
from traffic.services.streams import consumer as consumer_module
from traffic.services.streams.consumer import Consumer, spool_folder
from traffic.services.streams.redis_sources import RedisList, RedisStream
from traffic.services.streams.spool import Spool, SpoolInUseError

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_broker(tmp_path_factory.mktemp("redis") / "data") as broker:
        yield broker.environment["CELERY_BROKER_URL"]


@pytest.fixture
def server(redis_url: str, settings: Any, tmp_path: Path) -> redis.Redis:
    settings.ETALON_SPOOL = str(tmp_path / "spool")
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    return client


def consume(*arguments: str) -> None:
    call_command("consume", *arguments, "--consumer", "a", "--once", stdout=io.StringIO())


# --- each source


def test_a_list_written_by_lpush_is_read_oldest_first(server: redis.Redis, redis_url: str) -> None:
    records = [eve.http(1, second=0), eve.alert(1), eve.http(2, second=5), eve.flow(1), eve.alert(9), b"{torn"]
    server.lpush("suricata", *map(eve.line, records))
    consume("--redis", redis_url, "--list", "suricata", "--sensor", "core-1")
    segment = Segment.objects.sealed().get()
    assert (segment.rows, segment.source, segment.sensor.name) == (2, "core-1", "core-1")
    assert [segments.raw_line(segment, row) for row in (0, 1)] == [eve.line(records[0]), eve.line(records[2])]
    intakes = Intake.objects.all()
    assert sum(one.lines for one in intakes) == 6
    assert sum(one.orphan_hits for one in intakes) == 1
    assert sum(one.rejected for one in intakes) == 1
    assert server.keys() == []  # nothing is left behind in Redis


def test_a_list_written_by_rpush(server: redis.Redis, redis_url: str) -> None:
    records = [eve.http(number, second=number) for number in range(500)]
    server.rpush("suricata", *map(eve.line, records))
    consume("--redis", redis_url, "--list", "suricata", "--oldest", "left")
    segment = Segment.objects.get()
    assert [segments.raw_line(segment, row) for row in (0, 499)] == [eve.line(records[0]), eve.line(records[499])]


def test_a_stream_is_read_by_its_group_and_acknowledged(server: redis.Redis, redis_url: str) -> None:
    for number in range(50):
        server.xadd("eve", {"eve": eve.line(eve.http(number))})
    server.xadd("eve", {"some": "thing", "event": eve.line(eve.http(50)).decode()})
    consume("--redis", redis_url, "--stream", "eve", "--group", "house")
    assert Segment.objects.get().rows == 51
    (group,) = server.xinfo_groups("eve")
    assert (group["name"], group["pending"]) == (b"house", 0)
    assert Stream.objects.get().lag == 0
    assert server.xlen("eve") == 51  # other groups may read them


def test_a_file_is_followed(tmp_path: Path, settings: Any) -> None:
    settings.ETALON_SPOOL = str(tmp_path / "spool")
    log = tmp_path / "eve.json"
    stream_feed.feed_file(log, stream_feed.lines(100))
    consume("--follow", str(log))
    stream_feed.feed_file(log, stream_feed.lines(100, first=500))
    consume("--follow", str(log))
    counted = stream_feed.stored()
    assert (counted["lines"], counted["http"], counted["keys"]) == (200, 80, 80)


def test_once_reads_a_file_and_all_that_came_after_it(tmp_path: Path, settings: Any) -> None:
    settings.ETALON_SPOOL = str(tmp_path / "spool")
    log = tmp_path / "eve.json"
    stream_feed.feed_file(log, stream_feed.lines(50))
    consume("--follow", str(log))
    for number in range(1, 4):
        log.rename(tmp_path / f"eve.json.{4 - number}")
        time.sleep(0.01)
        stream_feed.feed_file(log, stream_feed.lines(50, first=number * 100))
    began = time.monotonic()
    consume("--follow", str(log))
    assert stream_feed.stored()["lines"] == 200
    assert time.monotonic() - began < 3 * StreamPolicy().rotated_seconds, "it waits once, not for each"


def test_a_lost_spool_costs_a_followed_file_nothing(tmp_path: Path, settings: Any) -> None:
    log = tmp_path / "eve.json"
    for number in range(3):
        settings.ETALON_SPOOL = str(tmp_path / f"spool-{number}")
        stream_feed.feed_file(log, stream_feed.lines(50, first=number * 100))
        consume("--follow", str(log))
    assert (stream_feed.stored()["lines"], stream_feed.stored()["http"]) == (150, 60)


def test_a_source_that_does_not_answer_is_an_error_for_once(settings: Any, tmp_path: Path) -> None:
    settings.ETALON_SPOOL = str(tmp_path / "spool")
    with pytest.raises(CommandError, match="Connection refused"):
        consume("--redis", "redis://127.0.0.1:1/0", "--list", "suricata")
    assert Stream.objects.get().state == Stream.State.STOPPED


def test_the_password_of_a_redis_is_no_part_of_a_name() -> None:
    source = RedisList("redis://user:secret@sensor.example:7000/3", "suricata", "a", StreamPolicy())
    assert source.name == "list suricata at sensor.example:7000/3, consumer a"


# --- windows


class Fake:
    """A source that gives what a test tells it, and remembers what it was asked."""

    unit = "lines"

    def __init__(self, *batches: Any) -> None:
        self.name = "fake"
        self.batches = list(batches)
        self.given = 0
        self.settled: list[Position] = []

    def beginning(self) -> Position | None:
        return None

    def settle(self, position: Position) -> list[str]:
        self.settled.append(position)
        return []

    def take(self, after: Position | None) -> Batch | None:
        if not self.batches:
            return None
        told = self.batches.pop(0)
        if isinstance(told, Exception):
            raise told
        if told is None:
            return None
        self.given += 1
        lines = [eve.line(record) for record in told]
        return Batch(lines, {"at": self.given, "ids": [f"{self.given}-{n}" for n in range(len(lines))]}, more=False)

    def is_waiting(self) -> bool:
        return False

    def lag(self) -> int:
        return len(self.batches)

    def close(self) -> None:
        pass


@pytest.fixture
def spool(settings: Any, tmp_path: Path) -> Path:
    settings.ETALON_SPOOL = str(tmp_path / "spool")
    return spool_folder("fake")


def run(source: Source, *, seconds: float | None = None, **policy: Any) -> Consumer:
    """Consume until the source is empty, or for a while."""
    made = Consumer(source, "s", StreamPolicy(poll_seconds=0.01, **policy))
    if seconds is None:
        made.run(once=True)
        return made
    end = time.monotonic() + seconds
    turn = made._turn_over

    def turn_over() -> None:
        turn()
        if time.monotonic() > end:
            made.stop()

    made._turn_over = turn_over  # type: ignore[method-assign]
    made.run()
    return made


class Slow(Fake):
    """Every answer takes longer than a window: each batch, and each silence, has one of its own."""

    def take(self, after: Position | None) -> Batch | None:
        time.sleep(0.5)
        return super().take(after)


def test_a_hit_and_a_flow_in_the_next_window_are_joined(spool: Path) -> None:
    run(Slow([eve.http(1), eve.http(2)], None, [eve.alert(1), eve.flow(2)]), seconds=4, window_seconds=0.4)
    (segment,) = Segment.objects.sealed()
    first, second = segments.read_rows(segment, [0, 1])
    assert [hit["sid"] for hit in first["hits"]] == [2001]
    assert second["bytes_to_client"] == 9000
    assert list(Intake.objects.values_list("lines", flat=True)) == [2, 2]


def test_a_stream_that_falls_silent_is_stored_after_two_windows(spool: Path) -> None:
    began = time.monotonic()
    run(Fake([eve.http(1)]), seconds=1.5, window_seconds=0.4)
    segment = Segment.objects.sealed().get()
    assert segment.rows == 1
    assert segment.sealed_at is not None
    stored_after = time.monotonic() - began
    assert stored_after >= 0.8
    with Spool(spool) as left:
        assert (left.empty_windows, left.lines) == (2, 0)


def test_what_is_not_due_stays_in_the_spool_at_a_stop_and_is_stored_after_the_next_start(spool: Path) -> None:
    run(Fake([eve.http(1)]), seconds=0.1, window_seconds=60)
    assert not Segment.objects.exists()
    run(Fake([eve.alert(1)]), window_seconds=60)
    (segment,) = Segment.objects.sealed()
    (row,) = segments.read_rows(segment, [0])
    assert len(row["hits"]) == 1


def test_a_backlog_is_cut_by_the_time_of_the_log_and_not_shorter_than_the_lines(spool: Path) -> None:
    batches = [[eve.http(number, second=number) for number in range(first, first + 10)] for first in range(0, 200, 10)]
    run(Fake(*batches), window_seconds=25, window_lines=50)
    assert list(Intake.objects.order_by("id").values_list("lines", flat=True)) == [50, 50, 50, 50]


def test_windows_are_cut_by_size_whatever_the_time(spool: Path) -> None:
    batches = [[eve.http(number) for number in range(first, first + 10)] for first in range(0, 100, 10)]
    run(Fake(*batches), window_bytes_most=8_000)
    assert Intake.objects.count() == 4
    assert sum(Intake.objects.values_list("http", flat=True)) == 100


def test_a_session_with_the_hits_of_its_sensor_rules_is_inspected_also_after_a_restart(spool: Path) -> None:
    run(Fake([eve.http(1), eve.alert(1)]))
    run(Fake([eve.http(2)]))
    first, second = Segment.objects.sealed().order_by("id")
    assert first.rule_set is not None
    assert second.rule_set == first.rule_set


def test_declared_rules_of_the_sensor_go_before_inferred_ones(spool: Path, tmp_path: Path) -> None:
    (tmp_path / "my.rules").write_text('alert http any any -> any any (msg:"x"; sid:1;)')
    declared = rule_sets.add_rule_set(tmp_path / "my.rules")
    rule_sets.sensor_named("s", declared)
    run(Fake([eve.http(1), eve.alert(1)]))
    assert Segment.objects.get().rule_set == declared


def test_equal_windows_are_no_duplicates(spool: Path) -> None:
    run(Fake([eve.record("dns")]))
    run(Fake([eve.record("dns")]))
    assert list(Intake.objects.values_list("lines", flat=True)) == [1, 1]


# --- crashes


def test_a_crash_after_each_step_of_storing_changes_nothing(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies before each window is sealed, then just after it; the next one goes on."""

    class Died(BaseException):
        pass

    records = [[eve.http(n), eve.alert(n - 1), eve.alert(n + 1), eve.flow(n - 1)] for n in range(10, 16)]
    source = Slow(*(batch for one in records for batch in (one, None)))
    keep, calls = ingest.keep, []

    def dying(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) % 2 == 0:
            keep(*arguments, **options)
        raise Died

    monkeypatch.setattr(ingest, "keep", dying)
    while source.batches:
        with pytest.raises(Died):
            run(source, seconds=60, window_seconds=0.4)
    monkeypatch.setattr(ingest, "keep", keep)
    run(source, window_seconds=0.4)
    assert len(calls) >= 6
    counted = stream_feed.stored()
    assert (counted["http"], counted["keys"], counted["lines"]) == (6, 6, 24)
    assert (counted["rule_hits"], counted["joined"], counted["orphans"]) == (12, 10, 2)
    assert not Segment.objects.filter(sealed_at=None).exists()
    assert runs.discard_leftovers() == 0


def test_a_batch_that_was_spooled_and_not_acknowledged_is_settled_first(spool: Path) -> None:
    with Spool(spool) as left:
        left.append([eve.line(eve.http(1))], {"at": 7, "ids": ["7-0"]})
    source = Fake()
    run(source)
    assert source.settled[0]["at"] == 7
    assert Segment.objects.get().rows == 1


def test_a_list_gives_a_batch_again_until_its_tag_is_named(server: redis.Redis, redis_url: str) -> None:
    server.lpush("suricata", *(b"%d" % number for number in range(25)))
    policy = StreamPolicy(poll_seconds=0, batch_lines=10)
    first = RedisList(redis_url, "suricata", "a", policy).take(None)
    assert first is not None
    assert list(first.lines) == [b"%d" % number for number in range(10)]
    source = RedisList(redis_url, "suricata", "a", policy)  # died before the spool had it
    again = source.take({"tag": "an older one"})
    assert again == first
    following = source.take(first.position)
    assert following is not None
    assert (following.lines[0], following.more) == (b"10", True)
    assert server.llen("suricata") == 5


def test_entries_that_a_dead_consumer_held_are_claimed_and_its_own_copy_is_left_out(
    server: redis.Redis, redis_url: str
) -> None:
    for number in range(4):
        server.xadd("eve", {"eve": b"%d" % number})
    policy = StreamPolicy(poll_seconds=0.01, window_seconds=0.1, batch_lines=2)
    dead = RedisStream(redis_url, "eve", "g", "dead", policy)
    spooled = dead.take(None)  # it lies in the spool of the dead, who could not say so
    assert spooled is not None
    assert list(spooled.lines) == [b"0", b"1"]
    server.delete("eve:g:turn")  # nobody renewed it
    time.sleep(policy.turn_seconds + 0.1)
    other = RedisStream(redis_url, "eve", "g", "other", policy)
    position: Position | None = None
    got: list[bytes] = []
    for _ in range(4):
        if (batch := other.take(position)) is not None:
            position = batch.position
            assert other.settle(position) == []
            got += batch.lines
    assert sorted(got) == [b"0", b"1", b"2", b"3"]
    back = RedisStream(redis_url, "eve", "g", "dead", policy)
    lost = back.settle(spooled.position)
    assert lost == spooled.position["ids"]
    assert back.settle(spooled.position) == lost  # the answer is kept: it may die again before it hears it


def test_a_redis_that_forgot_everything_does_not_take_spooled_lines_away(server: redis.Redis, redis_url: str) -> None:
    server.xadd("eve", {"eve": b"1"})
    batch = RedisStream(redis_url, "eve", "g", "a", StreamPolicy(poll_seconds=0.01)).take(None)
    assert batch is not None
    server.flushall()
    assert RedisStream(redis_url, "eve", "g", "a", StreamPolicy()).settle(batch.position) == []


def test_a_redis_that_is_away_when_it_should_hear_of_a_batch_hears_of_it_before_the_next(
    server: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, failures = RedisStream.settle, [1, 1, 1]

    def breaks(self: RedisStream, position: Position) -> list[str]:
        if self._handed and failures:
            failures.pop()
            raise redis.ConnectionError("gone")
        return settle(self, position)

    monkeypatch.setattr(RedisStream, "settle", breaks)
    for number in range(25):
        server.xadd("eve", {"eve": eve.line(eve.http(number))})
    policy = StreamPolicy(poll_seconds=0.01, batch_lines=10, window_seconds=0.1)
    run(RedisStream(redis_url, "eve", "g", "a", policy), seconds=1.5, window_seconds=0.1)
    run(RedisStream(redis_url, "eve", "g", "a", policy))
    counted = stream_feed.stored()
    assert (counted["http"], counted["keys"], failures) == (25, 25, [])


def test_entries_acknowledged_just_before_a_crash_stay_ours(server: redis.Redis, redis_url: str) -> None:
    server.xadd("eve", {"eve": b"1"})
    source = RedisStream(redis_url, "eve", "g", "a", StreamPolicy(poll_seconds=0.01))
    batch = source.take(None)
    assert batch is not None
    assert source.settle(batch.position) == []
    assert RedisStream(redis_url, "eve", "g", "a", StreamPolicy()).settle(batch.position) == []


def test_entries_that_were_given_and_never_spooled_are_given_again(server: redis.Redis, redis_url: str) -> None:
    for number in range(3):
        server.xadd("eve", {"eve": b"%d" % number})
    policy = StreamPolicy(poll_seconds=0.01)
    source = RedisStream(redis_url, "eve", "g", "a", policy)
    assert source.take(None) is not None
    again = source.take(None)  # the spool's disk was full
    assert again is not None
    assert list(again.lines) == [b"0", b"1", b"2"]
    after_death = RedisStream(redis_url, "eve", "g", "a", policy).take(None)
    assert after_death is not None
    assert list(after_death.lines) == [b"0", b"1", b"2"]


def test_entries_trimmed_before_anybody_read_them_are_no_obstacle(server: redis.Redis, redis_url: str) -> None:
    name = server.xadd("eve", {"eve": b"0"})
    policy = StreamPolicy(poll_seconds=0.01)
    assert RedisStream(redis_url, "eve", "g", "a", policy).take(None) is not None
    server.xadd("eve", {"eve": b"1"})
    server.xdel("eve", name)
    source = RedisStream(redis_url, "eve", "g", "a", policy)
    batches = [source.take(None) for _ in range(2)]
    assert [list(batch.lines) for batch in batches if batch] == [[b"1"]]
    assert source.lag() == 1  # what was handed over and not settled


# --- several consumers


def test_one_reads_at_a_time_and_the_next_one_takes_over(server: redis.Redis, redis_url: str) -> None:
    server.lpush("suricata", b"1", b"2", b"3")
    policy = StreamPolicy(poll_seconds=0, batch_lines=1)
    first = RedisList(redis_url, "suricata", "first", policy)
    second = RedisList(redis_url, "suricata", "second", policy)
    batch = first.take(None)
    assert batch is not None
    with pytest.raises(consumer_module.OtherReadsError, match="first"):
        second.take(None)
    first.close()  # says goodbye; a dead one's turn runs out
    taken = second.take(None)
    assert taken is not None
    assert list(taken.lines) == [b"2"]
    # what the first one held is still its own
    again = RedisList(redis_url, "suricata", "first", policy).take(None)
    assert again is not None
    assert list(again.lines) == [b"1"]


def test_a_consumer_of_the_same_name_on_another_machine_is_refused(spool: Path, settings: Any, tmp_path: Path) -> None:
    run(Fake([eve.http(1)]))
    Stream.objects.update(state=Stream.State.READING)
    settings.ETALON_SPOOL = str(tmp_path / "elsewhere")
    with pytest.raises(SpoolInUseError, match="another machine"):
        run(Fake())
    Stream.objects.update(state=Stream.State.STOPPED)
    run(Fake())


# --- back-pressure


def test_a_database_that_is_away_lets_the_spool_grow_and_everything_is_stored_when_it_is_back(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module.connections, "close_all", lambda: None)  # the test's own transaction
    keep, away = ingest.keep, [True]

    def fails(*arguments: Any, **options: Any) -> Any:
        if away:
            raise OperationalError("server closed the connection")
        return keep(*arguments, **options)

    monkeypatch.setattr(ingest, "keep", fails)
    batches = [[eve.http(number)] for number in range(20)]
    run(Fake(*batches), seconds=1, window_seconds=0.05, retry_seconds=0.1, beat_seconds=0)
    row = Stream.objects.get()
    assert row.spool_bytes > 0
    assert "cannot store" in row.reason
    assert not Segment.objects.sealed().exists()
    away.clear()
    run(Fake(), window_seconds=0.05)
    assert stream_feed.stored()["http"] == 20
    assert Stream.objects.get().reason == ""


def test_a_full_spool_stops_reading_and_says_so(spool: Path) -> None:
    source = Fake(*[[eve.http(number)] for number in range(100)])
    run(source, seconds=0.5, spool_bytes=2_000, beat_seconds=0)
    assert 0 < source.given < 10
    seen = Stream.objects.get()
    assert seen.lag == len(source.batches)


def test_a_disk_that_is_nearly_full_stops_reading_and_says_so(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    beat = Consumer._beat
    monkeypatch.setattr(Consumer, "_beat", lambda self: (told.append(self._held), beat(self))[1])
    source = Fake([eve.http(1)])
    run(source, seconds=0.3, free_bytes=1 << 60, beat_seconds=0)
    assert source.given == 0
    assert "the disk is nearly full" in told


def test_a_source_that_is_away_for_a_while_is_waited_for(spool: Path) -> None:
    source = Fake([eve.http(1)], redis.ConnectionError("gone"), redis.ConnectionError("gone"), [eve.http(2)])
    run(source, seconds=1, window_seconds=0.2)
    assert stream_feed.stored()["http"] == 2


# --- processes


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["stream", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("list", "file"))])
def test_killed_three_times_while_lines_come(server: redis.Redis, redis_url: str, tmp_path: Path, kind: str) -> None:
    """The small version of test_kill_a_consumer."""
    feed = stream_feed.lines(3_000)
    log = tmp_path / "eve.json"
    arguments = {
        "list": ["--redis", redis_url, "--list", "eve"],
        "stream": ["--redis", redis_url, "--stream", "eve"],
        "file": ["--follow", str(log)],
    }[kind]
    with stream_feed.consumers(tmp_path, *arguments) as children:
        for part in range(3):
            some = feed[part * 1_000 : (part + 1) * 1_000]
            if kind == "list":
                server.lpush("eve", *some)
            elif kind == "stream":
                for line in some:
                    server.xadd("eve", {"eve": line})
            else:
                stream_feed.feed_file(log, some)
            process = children.start()
            children.wait_for_begin(process)
            time.sleep(0.3 * part)
            stream_feed.kill(process)
        children.drain()
    counted = stream_feed.stored()
    assert {name: counted[name] for name in ("lines", "http", "rule_hits", "keys")} == stream_feed.expected(feed)
    assert counted["joined"] + counted["orphans"] == counted["rule_hits"]
    assert not Segment.objects.filter(sealed_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_a_clean_stop_loses_nothing_and_says_goodbye(server: redis.Redis, redis_url: str, tmp_path: Path) -> None:
    feed = stream_feed.lines(1_000)
    server.lpush("eve", *feed)
    with stream_feed.consumers(tmp_path, "--redis", redis_url, "--list", "eve") as children:
        process = children.start()
        wait_for(lambda: server.llen("eve") == 0, "an empty list")
        process.terminate()
        assert process.wait(20) == 0, children.log(process)
        assert Stream.objects.get().state == Stream.State.STOPPED
        assert server.keys("*:turn") == []
        children.drain()
    assert stream_feed.stored()["lines"] == 1_000
