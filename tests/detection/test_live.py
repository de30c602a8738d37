"""Windows of an endless log: what lies in neighbouring windows is joined, whatever the border parts."""

from __future__ import annotations

import random
from typing import Any

from detection.sources.live import JoinedWindow, LiveReader
from tests.detection import eve


def read(*windows: list[Any], rules: Any = None, resumes: bool = False) -> list[JoinedWindow]:
    """Read windows and two empty ones, as a stream that falls silent; return what was handed out."""
    reader = LiveReader(rules or {}, resumes=resumes)
    told = []
    for number, records in enumerate([*windows, [], []]):
        lines = [eve.line(record) for record in records]
        told.append(reader.read(str(number), [lines[:3], lines[3:]]))
    assert told[0] is None
    return [one for one in told if one is not None]


def sessions(windows: list[JoinedWindow]) -> list[dict[str, Any]]:
    return [row for window in windows for chunk in window.chunks for row in eve.rows(chunk)]


def test_a_hit_a_flow_and_a_file_are_found_in_the_window_before_and_after():
    for around in ([0, 1], [1, 0]):
        records: list[list[Any]] = [[], []]
        records[around[0]] = [eve.http(1)]
        records[around[1]] = [eve.alert(1), eve.flow(1), eve.fileinfo(1)]
        (row,) = sessions(read(*records))
        assert [hit["sid"] for hit in row["hits"]] == [2001]
        assert (row["bytes_to_client"], row["file_magic"]) == (9000, "HTML document")


def test_a_window_is_handed_out_with_its_own_counts_when_the_next_one_was_read():
    first, second, third = read([eve.http(1), eve.record("dns")], [b"{torn", eve.http(2), eve.http(3)])
    assert (first.digest, first.counts.lines, first.counts.http, first.counts.rejected) == ("0", 2, 1, 0)
    assert (second.digest, second.counts.lines, second.counts.http, second.counts.rejected) == ("1", 3, 2, 1)
    assert b"{torn" in b"".join(second.quarantine)
    assert not b"".join(first.quarantine)
    assert third.is_empty


def test_hits_without_session_are_told_with_the_window_after_theirs():
    told = read([eve.alert(7)], [eve.http(1)], [])
    assert [one.counts.orphan_hits for one in told] == [0, 1, 0, 0]
    assert b'"flow_id":7' in b"".join(told[1].orphans)


def test_a_hit_two_windows_away_is_without_session():
    told = read([eve.http(1)], [], [eve.alert(1)])
    assert sum(one.counts.orphan_hits for one in told) == 1
    assert sessions(told)[0]["hits"] == []


def test_wherever_the_border_lies_nothing_is_lost_and_nothing_comes_twice():
    choice = random.Random(1)
    records = [eve.http(1, tx) for tx in range(40)] + [eve.alert(1, tx) for tx in range(40)] + [eve.flow(1)]
    choice.shuffle(records)
    for border in range(0, len(records), 7):
        told = read(records[:border], records[border:])
        rows = sessions(told)
        assert sorted(row["tx_id"] for row in rows) == list(range(40))
        assert all(len(row["hits"]) == 1 and row["bytes_to_client"] == 9000 for row in rows)
        assert sum(one.counts.rule_hits for one in told) == 40


def test_a_reader_that_begins_anew_two_windows_back_says_the_same():
    windows = [[eve.http(n), eve.alert(n - 1), eve.alert(n + 1), eve.flow(n - 1)] for n in range(10, 17)]
    whole = read(*windows)
    again = read(*windows[2:])
    for before, after in zip(whole[4:], again[2:], strict=True):  # 2 and 3 were stored, and are read for what they know
        assert sessions([before]) == sessions([after])
        assert b"".join(before.orphans) == b"".join(after.orphans)


def test_rules_that_spoke_before_are_known():
    seen = {5: {"sid": 5, "msg": "ET attack", "category": None, "priority": 1}}
    assert not read([eve.http(1)])[0].is_inspected
    assert read([eve.http(1)], rules=seen)[0].is_inspected


def test_a_line_beyond_all_measure_is_rejected_with_its_head():
    reader = LiveReader({})
    reader.read("0", [[eve.line(eve.http(1)), b"x" * (17 << 20)]])
    told = reader.read("1", [])
    assert told is not None
    assert (told.counts.http, told.counts.rejected, told.counts.lines) == (1, 1, 2)


def test_a_damaged_window_says_so():
    reader = LiveReader({})
    reader.read("0", [[eve.line(eve.http(1))]], lambda: "damaged")
    told = reader.read("1", [])
    assert told is not None
    assert told.counts.reasons == {"damaged": 1}


def test_where_windows_came_before_hits_of_the_first_one_may_have_found_theirs_there():
    for resumes, orphans in ((False, [0, 1, 1]), (True, [0, 0, 1])):
        told = read([eve.alert(1)], [eve.alert(2)], [], resumes=resumes)
        assert [one.counts.orphan_hits for one in told][:3] == orphans
