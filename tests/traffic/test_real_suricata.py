"""A real Suricata, three ways: its file followed, its Redis list consumed, its reading of the capture taken in."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.traffic import sensor_in_a_namespace as sensor
from tests.traffic.stream_feed import consumers
from traffic.models import Segment
from traffic.services import ingest, segments

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
# of the public rules, those about what the visitors do: all of them need a minute to load, and those that speak only
# so often in a time speak of other sessions in every run
ABOUT = re.compile(rb"^alert (http|tls|tcp) .*(etc/passwd|sqlmap|UNION.*SELECT|<script|/bin/bash)", re.I)
LIMITED = re.compile(rb"threshold:|detection_filter:")
OWN_RULE = b'alert http any any -> any any (msg:"ET WEB_SERVER passwd"; http.uri; content:"etc/passwd"; sid:9000001;)\n'
WIRE = (
    "protocol",
    "src_port",
    "dst_port",
    "community_id",
    "host",
    "method",
    "uri",
    "status",
    "user_agent",
    "app_proto",
)


def why_not() -> str | None:
    """Return what is missing here."""
    for program in ("suricata", "redis-server", "unshare", "ip"):
        if shutil.which(program) is None:
            return f"no {program}"
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode:
        return "no right to make a network namespace"
    told = subprocess.run(["suricata", "--build-info"], check=True, capture_output=True, text=True).stdout
    return None if re.search(r"hiredis support:\s+yes", told) else "Suricata without Redis"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a socket lies in it."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    made = Path(tempfile.mkdtemp(prefix="etalon-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def write_rules(path: Path) -> None:
    public = Path(os.environ.get("ETALON_SHARED_DATA", "../shared/data")) / "rules" / "et-open-merged.rules.gz"
    lines = gzip.decompress(public.read_bytes()).splitlines(keepends=True) if public.exists() else []
    path.write_bytes(b"".join(line for line in lines if ABOUT.match(line) and not LIMITED.search(line)) + OWN_RULE)


def write_certificate(path: Path) -> None:
    if shutil.which("openssl"):
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bank.example"]
        parts = [str(path.with_suffix(".key")), str(path.with_suffix(".crt"))]
        subprocess.run([*make, "-keyout", parts[0], "-out", parts[1]], check=True, capture_output=True)
        path.write_bytes(b"".join(Path(part).read_bytes() for part in parts))


def sessions_of(name: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return the sessions of a sensor with their rule hits, in a fixed order."""
    found = []
    for segment in Segment.objects.sealed().filter(sensor__name=name):
        for row in segments.read_rows(segment, range(segment.rows)):
            hits = tuple(sorted(hit["sid"] for hit in row["hits"]))
            found.append((*(str(row[column]) for column in columns), hits))
    return sorted(found)


def test_a_file_followed_a_list_consumed_and_a_capture_read_give_the_same_sessions(folder: Path) -> None:
    write_rules(folder / "sensor.rules")
    write_certificate(folder / "server.pem")
    program = ["unshare", "--net", sys.executable, sensor.__file__, str(folder)]
    redis_url = f"unix://{folder / 'redis.sock'}?db=0"
    minute = ("--window", "60")  # Suricata tells of a flow some seconds after its end
    with (
        consumers(folder, "--follow", str(folder / "eve.json"), *minute, "--sensor", "followed") as following,
        consumers(folder, "--redis", redis_url, "--list", "suricata", *minute, "--sensor", "consumed") as consuming,
        (folder / "house.log").open("wb") as log,
    ):
        children = [following.start("f"), consuming.start("r")]  # before there is a file, or a Redis
        house = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        try:
            assert house.stdout is not None
            assert house.stdout.readline() == b"done\n", (folder / "house.log").read_text()
            for process in children:
                process.terminate()
                assert process.wait(30) == 0
            following.drain("f")
            consuming.drain("r")
        finally:
            house.communicate(timeout=30)
    config = sensor.write_config(folder / "offline.yaml", sensor.TO_FILE.format(name="offline.json"))
    capture = str(folder / "capture.pcap")
    subprocess.run(["suricata", "-c", str(config), "-r", capture, "-l", str(folder), "-k", "none"], check=True)
    ingest.ingest_paths([folder / "offline.json"], "read")

    followed, consumed, read = (sessions_of(name, *WIRE) for name in ("followed", "consumed", "read"))
    assert len(followed) > 100
    assert followed == consumed
    assert followed == read
    assert any(hits for *_, hits in followed)
    exact = (*WIRE, "start", "flow_id", "tx_id", "bytes_to_client", "flow_end", "flow_sessions")
    assert sessions_of("followed", *exact) == sessions_of("consumed", *exact)
    assert not [row for row in sessions_of("followed", "flow_end") if row[0] == "None"]
    protocols = {protocol: sum(row[0] == protocol for row in followed) for protocol in ("http", "tls")}
    hits = sum(len(row[-1]) for row in followed)
    print(f"\nthree ways: {protocols}, {hits} rule hits, the same each")  # noqa: T201 - shown by -s
