"""Detectors of HTTP attacks and of TLS applications in one install: one loop each, nobody's sessions mixed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command

from detection.bundle import BundleError
from labeling.models import Item
from labeling.services.routing import route_waiting
from models_registry.models import Detector, ScoreFile, Version
from models_registry.services import bundles
from models_registry.services.scoring import score_waiting
from tests.models_registry.loop import first_version, train_quickly
from traffic.models import Segment
from traffic.services import ingest, rule_sets
from traffic.simulator import Parameters, Simulation

pytestmark = pytest.mark.django_db
FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats"
DETECTORS = ("http-attacks", "ktalk", "telegram")


@pytest.fixture
def versions(tmp_path: Path, house: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Version]:
    """A working hour of both protocols, and a first version of each detector, all made from files."""
    train_quickly(monkeypatch)
    simulation = Simulation(Parameters(sessions_per_day=12_000, hosts=60, tls_per_day=12_000), seed=5)
    start = simulation.parameters.begins + timedelta(hours=7)
    rules, log = tmp_path / "synthetic.rules", tmp_path / "eve.json"
    rules.write_bytes(simulation.rule_file())
    log.write_bytes(b"\n".join(simulation.lines(start, start + timedelta(hours=1), "synthetic-core")))
    rule_sets.sensor_named("synthetic-core", rule_sets.add_rule_set(str(rules), "synthetic"))
    ingest.ingest_paths([log], "synthetic-core")
    for name in DETECTORS:
        call_command("make_detector", str(FORMATS / f"detector.{name}.yml"), verbosity=0)
    return {name: first_version(Detector.objects.get(name=name)) for name in DETECTORS}


def test_each_detector_goes_its_own_round(versions: dict[str, Version]) -> None:
    assert {segment.protocol for segment in Segment.objects.sealed()} == {"http", "tls"}
    assert {name: version.contract for name, version in versions.items()} == {
        "http-attacks": "http-1",
        "ktalk": "tls-1",
        "telegram": "tls-1",
    }
    score_waiting()
    assert route_waiting() > 0
    for file in ScoreFile.objects.select_related("segment", "version__detector"):
        assert file.segment.protocol == file.version.detector.protocol
    for item in Item.objects.select_related("detector"):
        assert item.title.startswith("TLS ") == (item.detector.protocol == "tls")
    # a first version of "telegram" may ask nothing: rules name it by its names, and so does what learnt from them
    assert set(Item.objects.values_list("detector__name", flat=True)) >= {"http-attacks", "ktalk"}

    with pytest.raises(BundleError, match="read the same protocol"):
        bundles.build(_config(versions["http-attacks"], versions["ktalk"]))
    bundle = bundles.build(_config(versions["ktalk"], versions["telegram"]))
    assert bundle.entries.count() == 2


def _config(*versions: Version) -> str:
    entries = [
        f'- registry_name: "{version.detector.name}"\n  version: {version.number}\n'
        f"  threshold: {version.threshold}\n  is_silent: true\n"
        for version in versions
    ]
    return "models:\n" + "".join(entries)
