"""Owners of addresses: out of a MaxMind file, out of ranges, never out of thin air."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from detection.geo import NoGeoError, open_geo

NETWORKS = b"network,autonomous_system_number,autonomous_system_organization\n192.0.2.0/24,64500,Talk Ltd\n"
RANGES = b'198.51.100.0,198.51.100.127,64501,XX,"Shop, Inc."\n2001:db8::,2001:db8::ffff,64502,XX,Six\n'


def mmdb(first_bit_set: dict[str, object]) -> bytes:
    """Return a MaxMind DB of one node: addresses from 128.0.0.0 on have that record, others none."""
    data = _encoded(first_bit_set)
    node = (1).to_bytes(3, "big") + (1 + 16).to_bytes(3, "big")  # one node: left none, right the first record
    metadata = {"node_count": 1, "record_size": 24, "ip_version": 4, "database_type": "Test-ASN", "languages": []}
    metadata |= {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1,
        "description": {},
    }
    return node + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _encoded(metadata)


def _encoded(value: object) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        assert len(text) < 29 + 256
        size = bytes([2 << 5 | len(text)]) if len(text) < 29 else bytes([2 << 5 | 29, len(text) - 29])
        return size + text
    if isinstance(value, int):
        return bytes([6 << 5 | 4]) + struct.pack("!I", value)
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(_encoded, value))
    assert isinstance(value, dict)
    return bytes([7 << 5 | len(value)]) + b"".join(_encoded(key) + _encoded(each) for key, each in value.items())


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "owners"
    path.write_bytes(data)
    return path


def test_a_maxmind_file_is_asked(tmp_path: Path) -> None:
    data = mmdb({"autonomous_system_number": 64500, "autonomous_system_organization": "Talk Ltd"})
    geo = open_geo(write(tmp_path, data))
    assert geo.orgs(["192.0.2.7", "10.0.0.1", None, "2001:db8::1", "?"]) == ["Talk Ltd", None, None, None, None]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_ranges_are_asked(tmp_path: Path, packed: bool) -> None:
    data = NETWORKS + RANGES
    geo = open_geo(write(tmp_path, gzip.compress(data) if packed else data))
    asked = ["192.0.2.255", "192.0.3.0", "198.51.100.127", "198.51.100.128", "2001:db8::1", "2001:db9::"]
    assert geo.orgs(asked) == ["Talk Ltd", None, "Shop, Inc.", None, "Six", None]


def test_tabs_divide_too(tmp_path: Path) -> None:
    geo = open_geo(write(tmp_path, b"192.0.2.0\t192.0.2.255\t64500\tXX\tTALK, LTD\n"))
    assert geo.orgs(["192.0.2.1"]) == ["TALK, LTD"]


def test_the_narrowest_range_speaks_and_the_wide_one_around_it(tmp_path: Path) -> None:
    data = (
        b"10.0.0.0/8,1,wide\n10.1.0.0/16,2,narrow\n10.1.2.0/24,3,narrowest\n10.255.255.0/24,4,end\n11.0.0.0/8,5,next\n"
    )
    geo = open_geo(write(tmp_path, data))
    asked = ["10.0.0.1", "10.1.0.1", "10.1.2.3", "10.1.3.0", "10.2.0.0", "10.255.255.9", "11.0.0.0", "9.9.9.9"]
    assert geo.orgs(asked) == ["wide", "narrow", "narrowest", "narrow", "wide", "end", "next", None]


@pytest.mark.parametrize("data", [b"", b"hello\nworld\n", b"1,2,3\n", mmdb({})[:40] + b"\xab\xcd\xefMaxMind.com"])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(NoGeoError):
        open_geo(write(tmp_path, data))


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    first = open_geo(write(tmp_path, NETWORKS))
    second = open_geo(write(tmp_path, NETWORKS + RANGES))
    assert first.digest != second.digest
    assert second.orgs(["198.51.100.1"]) == ["Shop, Inc."]
