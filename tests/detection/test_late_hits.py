"""Which stored session a late rule hit speaks about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from detection import late_hits
from detection.late_hits import Candidates, Match, choose, read_hits
from tests.detection import eve

SECOND = 1_000_000
NOON = 1_772_366_400 * SECOND


def found(lines: list[dict[str, Any]], sessions: Sequence[tuple[float, int, int | None, str]]) -> list[Match]:
    """Return which of some sessions (second, flow, transaction, protocol) the hits mean."""
    candidates = Candidates(read_hits(map(eve.line, lines)))
    start, flow, tx, proto = zip(*sessions, strict=True)
    starts = np.array([NOON + int(second * SECOND) for second in start])
    return choose(candidates.find(1, starts, np.array(flow), tx, proto))


def rows(lines: list[dict[str, Any]], sessions: Sequence[tuple[float, int, int | None, str]]) -> list[int]:
    return sorted(match.row for match in found(lines, sessions))


def test_a_hit_with_a_transaction_means_that_one() -> None:
    assert rows([eve.alert(7, 1, 600)], [(0, 7, 0, "http"), (1, 7, 1, "http"), (1, 8, 1, "http")]) == [1]


def test_a_hit_without_one_means_the_whole_flow() -> None:
    assert rows([eve.alert(7, None, 600)], [(0, 7, 0, "http"), (1, 7, 1, "http"), (1, 8, 1, "http")]) == [0, 1]


def test_a_flow_number_of_another_run_is_not_meant() -> None:
    sessions = [(-7200, 7, 0, "http"), (0, 7, 0, "http"), (7200, 7, 0, "http")]
    assert rows([eve.alert(7, 0, 30)], sessions) == [1]
    assert rows([eve.alert(7, None, 30)], sessions) == [1]


def test_of_two_runs_within_reach_the_nearest_counts() -> None:
    assert rows([eve.alert(7, 0, 1500)], [(0, 7, 0, "http"), (1400, 7, 0, "http")]) == [1]


def test_a_hit_that_tells_when_its_flow_began_reaches_back_so_far() -> None:
    long_flow = eve.alert(7, None, 7200, flow={"start": eve.stamp(0)})
    assert rows([long_flow], [(-10, 7, 0, "http"), (5, 7, 0, "http"), (7100, 7, 1, "http")]) == [1, 2]
    endless = eve.alert(7, None, 90_000 * 2, flow={"start": eve.stamp(0)})
    assert rows([endless], [(5, 7, 0, "http")]) == []


def test_after_an_upgrade_the_protocol_of_the_hit_chooses() -> None:
    both = [(0, 7, 0, "http"), (1, 7, 0, "http2")]
    assert rows([eve.alert(7, 0, 2, app_proto="http2")], both) == [1]
    assert rows([eve.alert(7, 0, 2)], both) == [0, 1]


def test_the_same_word_twice_is_one_hit_that_counts_its_lines() -> None:
    (hit,) = read_hits(map(eve.line, [eve.alert(7, 0, 1), eve.alert(7, 0, 2)]), first=40)
    assert (hit.number, hit.times) == (40, 2)
    assert len(read_hits(map(eve.line, [eve.alert(7, 0, 1, sid=1), eve.alert(7, 0, 1, sid=2)]))) == 2


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"event_type":"alert"}', eve.line(eve.alert() | {"timestamp": "x"})]
)
def test_what_cannot_be_placed_tells_nothing(line: bytes) -> None:
    assert read_hits([line]) == []


def test_hits_tell_where_to_look() -> None:
    candidates = Candidates(read_hits(map(eve.line, [eve.alert(7, 0, 0), eve.alert(8, 0, 40_000)])))
    assert candidates.span == (NOON - late_hits.BEFORE, NOON + 40_000 * SECOND + late_hits.AFTER)
    assert candidates.overlap(NOON - SECOND, NOON)
    assert not candidates.overlap(NOON + 5_000 * SECOND, NOON + 36_000 * SECOND)  # between the two


def test_ten_thousand_hits_on_one_flow_are_looked_at_once_each() -> None:
    lines = [eve.alert(7, tx, 1) for tx in range(10_000)]
    sessions = [(0, 7, tx, "http") for tx in range(10_000)]
    assert len(found(lines, sessions)) == 10_000
