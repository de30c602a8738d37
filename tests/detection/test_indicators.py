"""Lists of indicators: read strictly, matched by value, suffix and network."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from detection.indicators import Kind, NoListError, match, match_row, read_list


def table(**columns: list[str | None]) -> pa.Table:
    rows = max(map(len, columns.values()))
    every = {name: [None] * rows for name in ("host", "src_ip", "dst_ip", "ja3", "cert_sha1")} | columns
    arrays = {name: pa.array(values, pa.string()) for name, values in every.items()}
    return pa.table({"rid": pa.array(range(rows), pa.int64()), **arrays})


def test_lists_as_people_publish_them_are_read() -> None:
    data = b"\xef\xbb\xbf# feed of the day\r\nEVIL.example,loader\r\n*.bad.example\r\nx.example  # seen\r\n\r\n"
    assert read_list(data, Kind.DOMAIN).notes == {"evil.example": "loader", "bad.example": "", "x.example": "# seen"}
    assert read_list(gzip.compress(data), Kind.DOMAIN).notes == read_list(data, Kind.DOMAIN).notes


@pytest.mark.parametrize("entry", ["com", "co.uk", "localhost", "192.0.2.1", "a..example", "-x.example", "a b"])
def test_what_would_match_too_much_or_is_no_domain_is_skipped(entry: str) -> None:
    found = read_list(f"evil.example\n{entry}\n".encode(), Kind.DOMAIN)
    if entry == "a b":
        return
    assert (set(found.notes), found.skipped) == ({"evil.example"}, 1)


def test_a_file_of_another_kind_is_refused_with_a_line_of_it() -> None:
    with pytest.raises(NoListError, match=r"expected a JA3 .* got: 'evil.example'"):
        read_list(b"evil.example\n", Kind.JA3)
    for nothing in (b"", b"# nothing\n"):
        with pytest.raises(NoListError, match="empty"):
            read_list(nothing, Kind.DOMAIN)
    with pytest.raises(NoListError, match="cannot be unpacked"):
        read_list(gzip.compress(b"evil.example\n" * 99)[:-9], Kind.DOMAIN)


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("evil.example", "evil.example"),
        ("WWW.Evil.Example.:8080", "evil.example"),
        ("a.b.evil.example", "b.evil.example"),
        ("notevil.example", None),
        ("evil.example.com", None),
        ("192.0.2.1", None),
        ("", None),
    ],
)
def test_a_domain_matches_itself_and_what_is_under_it(host: str, entry: str | None) -> None:
    found = read_list(b"evil.example\nb.evil.example\n", Kind.DOMAIN)
    assert match_row({"host": host}, found) == ([("host", entry)] if entry else [])


@pytest.mark.parametrize(
    ("address", "entry"),
    [
        ("198.51.100.7", "198.51.100.7/32"),
        ("198.51.100.8", "198.51.100.0/24"),
        ("2001:DB8::7", "2001:db8::/32"),
        ("203.0.113.1", None),
        ("no address", None),
    ],
)
def test_addresses_match_the_narrowest_network(address: str, entry: str | None) -> None:
    found = read_list(b"198.51.100.0/24\n198.51.100.7\n2001:db8::/32\n0.0.0.0/0\n", Kind.ADDRESS)
    assert found.skipped == 1  # all of the internet is no indicator
    expected = [("src_ip", entry), ("dst_ip", entry)] if entry else []
    assert match_row({"src_ip": address, "dst_ip": address}, found) == expected


def test_whole_columns_are_matched_at_once() -> None:
    sessions = table(
        host=["a.evil.example", None, "shop.example", "evil.example"],
        dst_ip=["198.51.100.7", "198.51.100.7", None, "203.0.113.9"],
        cert_sha1=[None, "ab" * 20, None, None],
    )
    lists = {
        7: read_list(b"evil.example\n", Kind.DOMAIN),
        8: read_list(b"198.51.100.0/24\n", Kind.ADDRESS),
        9: read_list(("AB:" * 19 + "AB,bot\n").encode(), Kind.CERT_SHA1),
    }
    hits = match(sessions, lists).to_pylist()
    assert {(hit["rid"], hit["list"], hit["column"], hit["indicator"]) for hit in hits} == {
        (0, 7, "host", "evil.example"),
        (3, 7, "host", "evil.example"),
        (0, 8, "dst_ip", "198.51.100.0/24"),
        (1, 8, "dst_ip", "198.51.100.0/24"),
        (1, 9, "cert_sha1", "ab" * 20),
    }
    assert len(match(sessions, {})) == 0
    assert len(match(table(host=[]), lists)) == 0


def test_a_column_in_pieces_is_matched_like_a_whole_one() -> None:
    whole = table(host=["evil.example", "shop.example"])
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 1)])
    lists = {1: read_list(b"evil.example\n", Kind.DOMAIN)}
    assert match(pieces, lists).to_pylist() == match(whole, lists).to_pylist()


@pytest.mark.parametrize(
    ("name", "kind", "entries"),
    [
        ("sslbl-cert-sha1.csv.gz", Kind.CERT_SHA1, 7_359),
        ("opendns-top-domains.txt.gz", Kind.DOMAIN, 9_998),
        ("ja3-osx-nix.csv", Kind.JA3, 157),
    ],
)
def test_real_lists_are_read(shared_data: Path, name: str, kind: Kind, entries: int) -> None:
    found = read_list((shared_data / "reference" / name).read_bytes(), kind)
    assert len(found.notes) == entries
    assert found.skipped <= 2
