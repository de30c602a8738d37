"""traffic.tasks.collect_late_hits: hits that come in a later file, or from elsewhere, find their stored sessions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Token
from tests.detection import eve
from tests.factories import make_token
from traffic import storage
from traffic.models import Intake, LateHit, OutsideHit, Segment
from traffic.services import ingest, late_hits, outside_hits, segments
from traffic.services.late_hits import collect

pytestmark = pytest.mark.django_db
Take = Callable[..., Intake]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    def taken(records: list[Any], sensor: str = "core-1") -> Intake:
        path = tmp_path / f"{Intake.objects.count()}.json"
        path.write_bytes(eve.log(records))
        (result,) = ingest.ingest_paths([path], sensor)
        return Intake.objects.get(pk=result.intake)

    return taken


def sids(segment: Segment | None = None) -> list[list[int]]:
    """Return the rules that hit each session."""
    table = segments.read_sessions(segment or Segment.objects.get(), columns=["hits"])
    return [[hit["sid"] for hit in hits] for hits in table["hits"].to_pylist()]


def test_a_hit_of_a_later_file_is_joined_beside_the_segment(take: Take) -> None:
    take([eve.http(1), eve.http(2), eve.alert(2, sid=1)])
    segment = Segment.objects.get()
    before = storage.get_bytes(segment.sessions_path)
    later = take([eve.alert(1, 0, 600, sid=7), eve.alert(9, 0, 600)])
    assert (later.orphan_hits, later.hits_without_session) == (2, 2)
    assert collect() == 1
    assert sids() == [[7], [1]]
    assert storage.get_bytes(segment.sessions_path) == before  # segments never change
    segment.refresh_from_db()
    later.refresh_from_db()
    assert (segment.late_hits, later.late_hits, later.hits_without_session) == (1, 1, 1)
    (row,) = segments.read_rows(segment, [0])
    assert row["hits"][0]["scope"] == "transaction"


def test_collecting_again_changes_nothing(take: Take) -> None:
    take([eve.http(1)])
    take([eve.alert(1, 0, 600)])
    assert [collect(), collect()] == [1, 0]
    Intake.objects.update(hits_collected_at=None)  # as after a kill between writing and marking
    Segment.objects.update(hits_asked_at=None)
    assert collect() == 0
    assert Segment.objects.get().late_hits == LateHit.objects.count() == 1
    assert Intake.objects.latest("pk").late_hits == 1


def test_the_same_hit_in_two_files_counts_once(take: Take) -> None:
    take([eve.http(1), eve.alert(1)])
    take([eve.alert(1), eve.flow(5)])  # the next file begins with the end of this one
    assert collect() == 0
    take([eve.alert(1, sid=7)])
    take([eve.alert(1, sid=7), eve.flow(6)])
    assert collect() == 1
    assert sids() == [[2001, 7]]


def test_a_flow_level_hit_is_shown_on_every_session_of_the_flow_and_counts_as_one(take: Take) -> None:
    take([eve.http(1, 0), eve.http(1, 1, 2), eve.http(2)])
    take([eve.alert(1, None, 600, sid=7)])
    assert collect() == 2
    assert sids() == [[7], [7], []]
    assert Intake.objects.latest("pk").late_hits == 1


def test_a_hit_that_came_before_its_session_waits_for_it(take: Take) -> None:
    first = take([eve.alert(1, 0, sid=7)])
    assert collect() == 0
    take([eve.http(1, 0, 2)])
    assert collect() == 1
    assert sids() == [[7]]
    first.refresh_from_db()
    assert first.hits_without_session == 0


def test_after_a_week_nobody_looks_any_more_and_the_count_stays(take: Take) -> None:
    first = take([eve.alert(1, 0, sid=7)])
    collect()
    Intake.objects.update(created_at=timezone.now() - timedelta(days=8))
    take([eve.http(1, 0, 2)])
    assert collect() == 0
    first.refresh_from_db()
    assert first.hits_without_session == 1


def test_hits_of_another_sensor_or_another_time_are_not_joined(take: Take) -> None:
    take([eve.http(1)])
    take([eve.alert(1, 0, 600)], "core-2")
    take([eve.alert(1, 0, 50_000)])
    assert collect() == 0


def test_tls_connections_get_late_hits_too(take: Take) -> None:
    take([eve.tls(1), eve.http(2)])
    take([eve.alert(1, None, 600, sid=7)])
    assert collect() == 1
    assert sids(Segment.objects.get(protocol="tls")) == [[7]]


def test_only_segments_that_may_hold_the_flow_are_read(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    for hour in range(6):
        take([eve.http(hour + 1, 0, hour * 3600 * 2)])
    collect()
    take([eve.alert(3, 0, 4 * 3600 + 30)])
    read: list[int] = []
    honest = segments.read_sessions
    monkeypatch.setattr(
        segments, "read_sessions", lambda segment, *a, **k: read.append(segment.pk) or honest(segment, *a, **k)
    )
    assert collect() == 1
    assert len(set(read)) == 1


def test_hits_are_looked_for_in_blocks_of_a_bounded_size(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_hits, "BLOCK", 3)
    take([eve.http(flow) for flow in range(1, 11)])
    later = take([eve.alert(flow, 0, 300, sid=flow) for flow in range(1, 13)])
    assert collect() == 10
    later.refresh_from_db()
    assert later.hits_without_session == 2


def test_a_damaged_sidecar_holds_up_nobody(take: Take) -> None:
    take([eve.http(1), eve.http(2)])
    damaged = take([eve.alert(1, 0, 600)])
    storage.delete(damaged.orphans_path)
    take([eve.alert(2, 0, 600, sid=7)])
    assert collect() == 1
    assert sids() == [[], [7]]
    assert list(Intake.objects.with_late_hits()) == [damaged]


def test_a_log_without_stray_hits_costs_nothing(take: Take) -> None:
    take([eve.http(1), eve.alert(1)])
    collect()
    with CountQueries() as counted:
        collect()
    assert counted.queries == 3  # one look into each mailbox


class CountQueries:
    def __enter__(self) -> CountQueries:
        from django.test.utils import CaptureQueriesContext

        self._context = CaptureQueriesContext(connection)
        self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    @property
    def queries(self) -> int:
        return len(self._context.captured_queries)


# what other systems said


def tell(flow: int = 1, tx: int | None = 0, second: int = 0, rule: str = "942100", sensor: str = "core-1") -> None:
    start = outside_hits.microseconds(eve.BEGAN.replace(tzinfo=timezone.get_default_timezone())) + second * 1_000_000
    told = outside_hits.Told(sensor, flow, tx, start, rule, "SQL injection", timezone.now())
    token = Token.objects.filter(name="waf").first() or make_token(Token.Kind.SYSTEM, "waf")[0]
    outside_hits.receive([told], token)


def test_what_another_system_said_becomes_a_hit_of_its_name(take: Take) -> None:
    take([eve.http(1), eve.http(2)])
    tell(1)
    assert collect() == 1
    (row,) = segments.read_rows(Segment.objects.get(), [0])
    (hit,) = row["hits"]
    assert (hit["sid"], hit["category"], hit["signature"]) == (0, "waf", "942100 SQL injection")
    assert OutsideHit.objects.get().collected_at is not None
    assert collect() == 0


def test_it_may_come_before_its_session(take: Take) -> None:
    tell(1)
    assert collect() == 0
    assert OutsideHit.objects.uncollected().count() == 1
    take([eve.http(1)])
    assert collect() == 1
    assert not OutsideHit.objects.uncollected().exists()


def test_its_key_is_exact(take: Take) -> None:
    take([eve.http(1, 0), eve.http(1, None, 1), eve.http(2, 0)])
    tell(1, 0, 1)  # another start
    tell(2, None)  # a session without number
    tell(1, 0, sensor="core-2")
    assert collect() == 0
    tell(1, None, 1)
    assert collect() == 1
    assert sids() == [[], [0], []]


def test_two_rules_of_a_system_are_two_hits(take: Take) -> None:
    take([eve.http(1)])
    tell(rule="1")
    tell(rule="2")
    assert collect() == 2
