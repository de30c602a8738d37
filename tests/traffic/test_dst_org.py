"""`dst_org`: filled at intake from the source that is set; without one, the segment says so."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.detection import eve
from traffic.models import Segment
from traffic.services import segments
from traffic.services.ingest import ingest_paths

pytestmark = pytest.mark.django_db
OWNERS = b"192.0.2.0/24,64500,Talk Ltd\n"


def ingest(tmp_path: Path) -> Segment:
    path = tmp_path / "eve.json"
    records = [eve.http(1), eve.http(2, dest_ip="10.0.0.1")]
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    ingest_paths([path])
    return Segment.objects.sealed().get()


def owners(segment: Segment) -> list[str | None]:
    told: list[str | None] = segments.read_sessions(segment, columns=["dst_org"])["dst_org"].to_pylist()
    return told


def test_owners_are_looked_up_at_intake(settings: Any, tmp_path: Path) -> None:
    path = tmp_path / "owners.csv"
    path.write_bytes(OWNERS)
    settings.ETALON_GEO = str(path)
    segment = ingest(tmp_path)
    assert owners(segment) == ["Talk Ltd", None]
    assert segment.geo_digest == hashlib.sha256(OWNERS).hexdigest()  # asked, and the second is nobody's


def test_without_a_source_the_segment_says_that_nobody_was_asked(tmp_path: Path) -> None:
    segment = ingest(tmp_path)
    assert (owners(segment), segment.geo_digest) == ([None, None], "")


@pytest.mark.parametrize("data", [None, b"no owners here\n"], ids=["missing", "of another kind"])
def test_a_source_that_cannot_be_read_stops_no_intake(settings: Any, tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "owners.csv"
    if data:
        path.write_bytes(data)
    settings.ETALON_GEO = str(path)
    assert (owners(ingest(tmp_path)), Segment.objects.get().geo_digest) == ([None, None], "")
