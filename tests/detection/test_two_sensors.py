"""The same captures as Suricata and as Zeek saw them: what both tell must agree."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detection.sources.logs import open_log
from tests.detection import eve

Row = dict[str, Any]
ENDPOINTS = ("protocol", "src_ip", "src_port", "dst_ip", "dst_port")
MASKED = b"XXXXXXXXXX.XXXXXX"


def by_connection(rows: list[Row]) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in ENDPOINTS)].append(row)
    return found


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> list[tuple[Row, Row]]:
    """Return the sessions of connections on which both sensors saw equally many, in order: Suricata's and Zeek's."""
    rows, _ = eve.read((shared_data / "eve" / "zeek.eve.json.gz").read_bytes())
    of_suricata = by_connection(rows)

    def paired() -> Iterator[tuple[Row, Row]]:
        for path in sorted((shared_data / "zeek" / "btest-baselines").glob("*/*.log")):
            data = path.read_bytes().replace(MASKED, b"5.0")  # the logs were masked to be compared
            if path.name not in ("http.log", "ssl.log") or b"#fields" not in data:
                continue
            zeek = [row for chunk in open_log(io.BytesIO(data)) for row in eve.rows(chunk)]
            for connection, ours in by_connection(zeek).items():
                theirs = sorted(of_suricata.get(connection, ()), key=lambda row: (row["tx_id"], row["start"]))
                if len(theirs) == len(ours):
                    yield from zip(theirs, ours, strict=True)

    return list(paired())


def test_there_are_pairs_of_both_protocols(pairs: list[tuple[Row, Row]]) -> None:
    assert Counter(one["protocol"] for one, _ in pairs) == {"http": 156, "tls": 48}


def test_transactions_have_the_same_numbers(pairs: list[tuple[Row, Row]]) -> None:
    assert all(one["tx_id"] == other["tx_id"] for one, other in pairs)


@pytest.mark.parametrize(
    ("column", "at_least"),
    # of 126; where they differ, Zeek decoded the URI or saw no response
    [("method", 126), ("uri", 122), ("user_agent", 126), ("referer", 126), ("status", 117)],
)
def test_well_formed_requests_read_alike(pairs: list[tuple[Row, Row]], column: str, at_least: int) -> None:
    http = [(one, other) for one, other in pairs if one["protocol"] == "http" and (other["method"] or "").isalpha()]
    alike = [(one, other) for one, other in http if one[column] == other[column]]
    assert len(alike) >= at_least, len(http)


def test_hosts_read_alike_but_for_their_port(pairs: list[tuple[Row, Row]]) -> None:
    http = [(one["host"], other["host"]) for one, other in pairs if one["protocol"] == "http" and other["host"]]
    assert sum(one == other.rpartition(":")[0] or one == other for one, other in http) > 0.95 * len(http)


def test_handshakes_read_alike(pairs: list[tuple[Row, Row]]) -> None:
    tls = [(one, other) for one, other in pairs if one["protocol"] == "tls"]
    assert all(one["host"] == other["host"] for one, other in tls)
    # one capture speaks an experimental version; after a failed handshake Zeek tells none
    assert sum(one["tls_version"] == other["tls_version"] for one, other in tls) >= len(tls) - 2
    for column in ("cert_subject", "cert_issuer"):
        told = [(one[column], other[column]) for one, other in tls if one[column] and other[column]]
        assert told
        assert all(one == other for one, other in told)


def test_masked_times_are_rejected_line_by_line(shared_data: Path) -> None:
    path = next((shared_data / "zeek" / "btest-baselines").glob("*http-pipelining/http.log"))
    reader = open_log(io.BytesIO(path.read_bytes()))
    assert list(reader) == []
    lines = sum(line.startswith(MASKED) for line in path.read_bytes().splitlines())
    assert dict(reader.counts.reasons) == {"ts is no time, expected seconds since 1970 or ISO 8601": lines}
