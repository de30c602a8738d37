"""JSON arrays of records, as some tools keep what Suricata 4 wrote: read as records, in bounded memory."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.sources.arrays import is_array
from detection.sources.lines import LineBlocks
from detection.sources.suricata_reader import Reader
from tests.detection import eve

RECORDS = [eve.http(1), eve.alert(1), eve.alert(9, None), eve.flow(1), eve.http(2, second=3)]


def printed(records: Any, indent: int | None = 2) -> bytes:
    return json.dumps(records, indent=indent).encode()


@pytest.mark.parametrize("indent", [None, 0, 2, 4])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\r\n\n "])
def test_an_array_is_read_as_its_records(indent: int | None, before: bytes) -> None:
    found, reader = eve.read(before + printed(RECORDS, indent))
    lines, as_lines = eve.read(RECORDS)
    without = [{name: value for name, value in row.items() if name != "raw"} for row in found]
    assert without == [{name: value for name, value in row.items() if name != "raw"} for row in lines]
    assert reader.counts == as_lines.counts
    assert (reader.counts.http, reader.counts.rule_hits, reader.counts.orphan_hits) == (2, 2, 1)
    assert all(b"\n" not in row["raw"] for row in found)
    assert json.loads(found[0]["raw"]) == RECORDS[0]


def test_a_zipped_array_with_windows_line_ends() -> None:
    found, reader = eve.read(gzip.compress(printed(RECORDS).replace(b"\n", b"\r\n")))
    assert (len(found), reader.counts.rejected) == (2, 0)


def test_braces_quotes_and_escapes_inside_texts_do_not_count() -> None:
    odd = eve.http(1, http={"url": '/?q={"timestamp":[}}]\\"{"', "http_user_agent": "\\", "hostname": "]},{"})
    found, reader = eve.read(printed([odd, eve.http(2)]))
    assert [row["uri"] for row in found] == ['/?q={"timestamp":[}}]\\"{"', "/search?q=shoes"]
    assert reader.counts.rejected == 0


def test_a_truncated_array_keeps_its_whole_records() -> None:
    data = printed(RECORDS)
    found, reader = eve.read(data[: data.index(b'"flow_id": 2')])
    assert len(found) == 1
    assert dict(reader.counts.reasons) == {"broken or torn JSON": 1}


def test_a_torn_record_does_not_take_the_next_one_with_it() -> None:
    one, two = printed(eve.http(1)), printed(eve.http(2))
    torn = one[: one.index(b'"hostname"')]
    in_a_text = one[: one.index(b'shop.example"')]
    for broken in (torn, in_a_text):
        found, reader = eve.read(b"[\n" + b",\n".join([two, broken, printed(eve.http(3))]) + b"\n]")
        assert [row["flow_id"] for row in found] == [2, 3]
        assert reader.counts.rejected == 1


def test_what_lies_between_records_is_set_aside() -> None:
    found, reader = eve.read(b"[\n" + printed(eve.http(1)) + b",\nrubbish, 7,\n" + printed(eve.http(2)) + b"]\n")
    assert (len(found), reader.counts.rejected) == (2, 1)
    (bad,) = reader.rejected
    assert bad.data == b"rubbish, 7"


def test_arrays_behind_one_another_are_read() -> None:
    found, _ = eve.read(printed([eve.http(1)]) + b"\n" + printed([eve.http(2)]))
    assert len(found) == 2


@pytest.mark.parametrize("data", [b"[]", b"[\n]\n", b" [ ]"])
def test_an_empty_array_is_an_empty_log(data: bytes) -> None:
    found, reader = eve.read(data)
    assert (found, reader.refused, reader.counts.rejected, reader.counts.lines) == ([], None, 0, 0)


def test_a_record_beyond_the_limit_is_cut_and_the_next_is_read() -> None:
    long = eve.http(1, http={"url": "/" + "a" * 2_000_000})
    found, reader = eve.read(printed([eve.http(2), long, eve.http(3)]), max_line=600_000)
    assert [row["flow_id"] for row in found] == [2, 3]
    assert dict(reader.counts.reasons) == {"line longer than 600000 bytes": 1}
    assert len(next(iter(reader.rejected)).data) == 600_000


def test_what_only_begins_like_an_array_is_none() -> None:
    assert is_array(b'[{"a"') and is_array(b"[\n  {") and is_array(b"[]") and is_array(b"[")
    assert not is_array(b"[12:00] text")
    assert not is_array(b'["a"]')
    assert not is_array(b'{"a":[{')


class Slow(io.RawIOBase):
    """A stream that hands out pieces of any size."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes, self._at = data, sizes, 0

    def read(self, size: int = -1) -> bytes:
        step = self._sizes[self._at % len(self._sizes)]
        self._at += 1
        piece, self._data = self._data[:step], self._data[step:]
        return piece


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=5), st.text(max_size=20) | st.lists(st.integers()) | st.just({"{": "}"}), min_size=1
        ),
        min_size=1,
    ),
    st.sampled_from([None, 1]),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_however_it_is_cut_the_records_are_the_same(records: list[Any], indent: int | None, sizes: list[int]) -> None:
    if indent is None and "timestamp" in str(records):
        return
    data = json.dumps(records, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    lines = [line for _, some, _ in LineBlocks(Slow(data, sizes)) for line in some]  # type: ignore[arg-type]
    assert [json.loads(line.decode("utf-8", "surrogatepass"), strict=False) for line in lines] == records


def test_memory_does_not_grow_with_the_array() -> None:
    class Endless(io.RawIOBase):
        def __init__(self, records: int) -> None:
            self._left, self._piece, self._head = records, printed(eve.alert(9, None)) + b",\n", b"[\n"

        def read(self, size: int = -1) -> bytes:
            some = min(self._left, 400)
            self._left -= some
            head, self._head = self._head, b""
            return head + self._piece * some

    def peak(records: int) -> int:
        tracemalloc.start()
        blocks = LineBlocks(Endless(records))  # type: ignore[arg-type]
        blocks_read = sum(len(lines) for _, lines, _ in blocks)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert blocks_read == records
        return used

    assert peak(8_000) < peak(800) * 2 + (4 << 20)


@pytest.mark.parametrize(("name", "alerts"), [("wrccdc-2018", 206), ("first-org-conf-2015", 136)])
def test_real_arrays_are_counted(shared_data: Path, name: str, alerts: int) -> None:
    path = shared_data / "eve" / f"suricata4-alerts-{name}.json"
    records = json.loads(path.read_bytes())
    assert len(records) == alerts
    with path.open("rb") as stream:
        reader = Reader(stream)
        assert list(reader) == []
    assert (reader.counts.lines, reader.counts.rule_hits, reader.counts.rejected) == (alerts, alerts, 0)
    assert reader.counts.orphan_hits == alerts  # no session is in them: they wait for theirs
    assert [json.loads(line) for line in b"".join(reader.orphans).splitlines()] == records
    assert set(reader.rules_seen) == {record["alert"]["signature_id"] for record in records}
