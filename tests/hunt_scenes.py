"""Two cases of the field, as raw lines of a sensor: ktalk, wrong on most hosts, and Telegram, right on nearly all.

A model sees the client's handshake, so it says the same wherever the client connects to. Nothing in the lines says
what any model thinks of them.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from detection.contract import TLS_1
from detection.fingerprint import shape_of, title_of
from detection.reference import SnapshotRow, counts, write_snapshot
from detection.sessions import session_key
from detection.training import TrainingPolicy, train, write_training_set
from models_registry.models import Version
from models_registry.services.detectors import make_detector
from models_registry.services.snapshots import receive_snapshot
from models_registry.services.training import receive_training_set, weak_rows
from tests.factories import make_version
from traffic import storage
from traffic.models import Segment
from traffic.services import ingest
from traffic.services.segments import read_rows
from traffic.simulator.eve import Hit, Wire, lines_of
from traffic.simulator.handshakes import (
    APPLICATIONS,
    BROWSERS,
    KTALK_MEDIA,
    TELEGRAM_PHONE,
    Application,
    Client,
    handshake,
    lasting,
)
from traffic.simulator.vocabulary import Rule

KTALK = "meet.ktalk.example"
OWNER = "Telegram Messenger Inc"
LEARNT = datetime(2026, 2, 1, 8, tzinfo=UTC)  # traffic that versions are trained on
SEEN = datetime(2026, 3, 2, 8, tzinfo=UTC)  # traffic that they are asked about
_RULES = {KTALK_MEDIA: Rule(1_300_901, "ET INFO ktalk client", "misc-activity"),
          TELEGRAM_PHONE: Rule(1_300_902, "ET INFO Telegram client", "misc-activity")}  # fmt: skip
_APPLICATIONS = {name: next(one for one in APPLICATIONS if one.name == name) for name in ("ktalk", "telegram", "web")}
_MEDIA = replace(next(one for one in APPLICATIONS if one.clients == (KTALK_MEDIA,)), unnamed=0)
_SECOND = 1_000_000


class Scene:
    """Connections one after the other, each a second later, in raw lines."""

    def __init__(self, begins: datetime, seed: int) -> None:
        self._rng = random.Random(seed)
        self._at = int(begins.timestamp()) * _SECOND
        self._wires: list[Wire] = []

    def talk(
        self, application: Application, client: Client, server: str, source: str, target: str, rule: Rule | None = None
    ) -> None:
        self._at += _SECOND
        number = len(self._wires) + 1
        seen = handshake(self._rng, application, client, server, self._at)
        end = self._at + lasting(self._rng, application)
        wire = Wire("lab", self._at, end, source, 1_024 + number % 60_000, target, application.port, server, tls=seen)
        wire.flow_id, wire.logged_at = self._at, end + _SECOND
        if rule is not None:
            wire.hits.append(Hit(rule, self._at + 40_000, None))
        self._wires.append(wire)

    def write(self, path: Path) -> Path:
        lines = sorted(line for wire in self._wires for line in lines_of(wire))
        path.write_bytes(b"\n".join(line for _, line in lines) + b"\n")
        return path


def learn(folder: Path, name: str, positive: str, client: Client) -> Version:
    """Return a first version that knows a client's handshake, whatever it connects to: rules told it so."""
    scene, rng = Scene(LEARNT, 3), random.Random(3)
    application = _MEDIA if client is KTALK_MEDIA else _APPLICATIONS["telegram"]
    for number in range(900):
        server, target = f"host-{rng.randrange(10**6)}.example", f"192.0.2.{number % 250}"
        if number % 3:
            scene.talk(_APPLICATIONS["web"], rng.choice(BROWSERS), server, f"10.7.0.{number % 250}", target)
        else:
            scene.talk(application, client, server, f"10.7.0.{number % 250}", target, _RULES[client])
    ingest.ingest_paths([scene.write(folder / f"learn-{name}.json")], f"lab-{name}")
    rules = {"sids": [_RULES[client].sid]}
    detector = make_detector({"name": name, "protocol": "tls", "positive_class": positive, "rules": rules})
    few = TrainingPolicy(trees=30, folds=2, source_models=2, source_trees=10, workers=1)
    rows = weak_rows(detector)
    model = train(rows, TLS_1, few)
    training_set = receive_training_set(detector, write_training_set(rows), rows=len(rows), counts={})
    version = make_version(
        detector=detector,
        training_set=training_set,
        contract=TLS_1.id,
        onnx_digest=model.onnx_digest,
        text_digest=model.text_digest,
        threshold=model.threshold,
    )
    storage.put_bytes(version.onnx_path, model.onnx_bytes)
    storage.put_bytes(version.text_path, model.text_model.encode())
    return version


def gate_on_two(version: Version) -> None:
    """Freeze a reference set of two sessions that the version was taught: one with the application, one without."""
    kinds: dict[str, SnapshotRow] = {}
    segment = Segment.objects.of_traffic().filter(sensor__name=f"lab-{version.detector.name}").get()
    for row in read_rows(segment, range(30)):
        answer = "positive" if row["hits"] else "negative"
        shape = shape_of(row)
        kinds[answer] = SnapshotRow(session_key(segment.sensor.name, row), answer, False, "hold-out", shape, shape,
                                    row["src_ip"], "2026-02-01", "lab", title_of(row), {**row, "hits": []})  # fmt: skip
    rows = list(kinds.values())
    receive_snapshot(version.detector, write_snapshot(rows), rows=len(rows), counts=counts(rows))


def ktalk(folder: Path) -> Path:
    """484 sessions of 74 hosts with ktalk, 11,230 of 785 hosts with others that use the same client library."""
    scene, rng = Scene(SEEN, 5), random.Random(5)
    _background(scene, rng)
    for number in range(484):
        scene.talk(_MEDIA, KTALK_MEDIA, KTALK, f"10.1.0.{number % 74}", "198.51.100.7")
    for number in range(11_230):
        host = number % 785
        server = f"c2-{number % 3}.bad.test" if number % 500 == 0 else f"media-{number % 40}.example"
        scene.talk(_MEDIA, KTALK_MEDIA, server, f"10.2.{host // 250}.{host % 250}", "198.51.100.9")
    return scene.write(folder / "ktalk.json")


def telegram(folder: Path) -> Path:
    """21,001 sessions of 241 hosts to Telegram's own network, 37 of 15 hosts to somebody else's."""
    scene, rng = Scene(SEEN, 7), random.Random(7)
    _background(scene, rng)
    chat = _APPLICATIONS["telegram"]
    for number in range(21_001):
        scene.talk(chat, TELEGRAM_PHONE, f"t{number % 5}.telegram.example", f"10.3.0.{number % 241}", "203.0.113.8")
    for number in range(37):
        scene.talk(chat, TELEGRAM_PHONE, "proxy.example", f"10.4.0.{number % 15}", "192.0.2.99")
    return scene.write(folder / "telegram.json")


def _background(scene: Scene, rng: random.Random) -> None:
    for number in range(2_000):
        server = KTALK if number % 10 == 0 else f"www-{number % 70}.example"
        target = "203.0.113.8" if number % 7 == 0 else "192.0.2.1"
        scene.talk(_APPLICATIONS["web"], rng.choice(BROWSERS), server, f"10.5.0.{number % 200}", target)


def owners(folder: Path) -> Path:
    """Who owns which addresses, as a table of ranges."""
    path = folder / "owners.csv"
    path.write_text(f"203.0.113.0/24,{OWNER}\n192.0.2.0/24,Example Hosting\n")
    return path
