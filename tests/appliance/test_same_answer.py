"""Ten thousand real sessions: pipeline, service and appliance, by file and by Redis, say the same bits."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from accounts.models import Token
from appliance.run import Runner
from detection.contract import HTTP_1, encode, session_columns
from detection.scoring import Scorer, probability
from detection.sources.suricata import session_row
from detection.thresholds import raw_threshold
from tests.appliance import homes
from tests.detection.make_models import make_version
from tests.factories import make_bundle, make_token
from tests.factories import make_version as make_version_row
from tests.jobs.workers import redis_server
from traffic import storage

WANTED, AT_A_TIME = 10_000, 250
pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def real_lines(folder: Path) -> Iterator[bytes]:
    """Yield real http records; where the shared traffic has fewer, it begins again with other flow numbers."""
    found = [
        line
        for file in sorted((folder / "eve").glob("*.eve.json.gz"))
        for line in gzip.decompress(file.read_bytes()).splitlines()
        if b'"event_type":"http"' in line
    ]
    number = 0
    while True:
        for line in found:
            number += 1
            record = json.loads(line)
            yield json.dumps(record | {"flow_id": number, "tx_id": 0}).encode()


def bits(score: float) -> bytes:
    return struct.pack(">d", score)


def by_service(records: list[dict[str, Any]], digest: str) -> list[dict[str, Any]]:
    """Return what `POST /api/v1/score/` says of sessions, asked as a machine asks."""
    client = Client(headers={"Authorization": f"Bearer {make_token(Token.Kind.SERVICE, 'portal')[1]}"})
    told: list[dict[str, Any]] = []
    for start in range(0, len(records), AT_A_TIME):
        body = {"digest": digest, "records": records[start : start + AT_A_TIME]}
        answer = client.post("/api/v1/score/", body, content_type="application/json")
        assert answer.status_code == 200, answer.content[:500]
        told += answer.json()["results"]
    return told


def registered(bundle: bytes) -> tuple[str, str]:
    """Keep the version and the bundle that are compared; return their digests."""
    version = make_version(1)
    storage.put_bytes("versions/compared.onnx", version)
    digest = hashlib.sha256(version).hexdigest()
    make_version_row(onnx_path="versions/compared.onnx", onnx_digest=digest, threshold=0.5)
    storage.put_bytes("bundles/compared.onnx", bundle)
    kept = make_bundle(path="bundles/compared.onnx", digest=hashlib.sha256(bundle).hexdigest())
    return digest, kept.digest


def test_equal_bits_everywhere(shared_data: Path, tmp_path: Path) -> None:
    lines = list(islice(real_lines(shared_data), WANTED))
    records = [json.loads(line) for line in lines]
    raw = Scorer(make_version(1)).raw(encode(HTTP_1, session_columns([session_row(record) for record in records])))
    verdicts = (raw >= raw_threshold(0.5)).tolist()
    home = homes.make_home(tmp_path / "home")
    (tmp_path / "eve.json").write_bytes(b"\n".join(lines) + b"\n")
    words = ["--home", str(home.folder), "score", "--in", str(tmp_path / "eve.json"), "--out", str(tmp_path / "out")]
    subprocess.run([sys.executable, "-m", "appliance", *words], check=True, capture_output=True)
    by_file = [json.loads(line)["etalon"] for line in (tmp_path / "out").read_bytes().splitlines()]
    with redis_server(tmp_path / "redis") as url:
        server = Redis.from_url(url)
        server.lpush("eve", *lines)
        runner = Runner(home, f"{url}?list=eve", f"{url}?list=out")
        runner.run(lambda: server.llen("out") >= WANTED)
        by_redis = [json.loads(line)["etalon"] for line in server.lrange("out", 0, -1)]
    assert len(by_file) == len(by_redis) == WANTED
    name = "Model_LGBM:2"
    assert [bits(one["scores"][name]) for one in by_file] == [bits(one["scores"][name]) for one in by_redis]
    assert [bool(one["fired"]) for one in by_file] == [bool(one["fired"]) for one in by_redis] == verdicts
    shown = probability(raw)
    assert max(abs(one["scores"][name] - float(p)) for one, p in zip(by_file, shown, strict=True)) < 1e-15
    version, bundle = registered(homes.bundle())
    served, served_raw = by_service(records, bundle), by_service(records, version)
    assert [bits(one["raw"]) for one in served_raw] == [bits(one) for one in raw.tolist()]
    assert [one["verdict"] for one in served_raw] == verdicts
    assert [bits(one["scores"][name]) for one in served] == [bits(one["scores"][name]) for one in by_file]
    assert [one["verdicts"]["Model_LGBM"] for one in served] == verdicts
    digest = hashlib.sha256(b"".join(bits(one["scores"][name]) for one in by_file)).hexdigest()[:12]
    print(  # noqa: T201 (the proof itself)
        f"\n{WANTED} sessions, {sum(verdicts)} verdicts: pipeline, service, file and Redis agree; scores {digest}"
    )
