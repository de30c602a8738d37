"""Homes of appliances for tests, with a bundle in force and without a vendor."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from appliance.home import Home, InForce
from appliance.scorer import BundleScorer
from detection.bundle import build_bundle
from detection.bundle_config import parse_config
from tests.appliance.test_scorer import eve
from tests.detection.make_models import make_member
from tests.detection.test_bundle_config import SLIDE

URIS = ("/", "/index.html", "/?id=1%27 or 1=1", "/../../etc/passwd", "/a/b/c?q=<script>", "/static/app.js")


@cache
def bundle(loud: float = 0.5) -> bytes:
    text = SLIDE.replace("threshold: 0.5", f"threshold: {loud}")
    return build_bundle([make_member(entry, 1) for entry in parse_config(text)], config_text=text)


def make_home(folder: Path, data: bytes | None = None) -> Home:
    home = Home(folder)
    home.write("config.json", {"appliance": "a1", "channel": "stable", "role": "c1", "token": "t", "server": ""})
    put_in_force(home, data or bundle())
    return home


def put_in_force(home: Home, data: bytes) -> BundleScorer:
    digest = hashlib.sha256(data).hexdigest()
    scorer = BundleScorer(data, digest)
    home.bundles.mkdir(parents=True, exist_ok=True)
    home.path_of(digest).write_bytes(data)
    home.switch(scorer.protocol, InForce(digest, scorer.bundle, "2026-03-01T12:00:00Z"))
    return scorer


def record(number: int) -> dict[str, Any]:
    url = URIS[number % len(URIS)] + "/Login?id=" * (number % 7 * 10)  # the model of tests fires on long ones
    return eve(url=url) | {"flow_id": number, "tx_id": 0}


def lines(count: int, start: int = 0) -> list[bytes]:
    return [json.dumps(record(number)).encode() for number in range(start, start + count)]


def hit(number: int, signature: str = "ET WEB_SERVER Attack") -> bytes:
    alert = {"signature_id": 2024897, "signature": signature, "category": "Web Application Attack", "severity": 1}
    told = {"event_type": "alert", "flow_id": number, "tx_id": 0, "alert": alert}
    return json.dumps({"timestamp": record(number)["timestamp"], **told}).encode()
