"""The loop by command: traffic in, a version, answers, a candidate, the gate, a bundle; the answers change the gate."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from detection.bundle import read_metadata
from detection.training import write_training_set
from labeling.models import Item, ReferenceRow
from labeling.services import claims, labels, reference, routing
from models_registry.models import GateReport, Version
from models_registry.services.detectors import make_detector
from models_registry.services.scoring import score_waiting
from models_registry.services.training import receive_training_set
from tests import factories
from tests.detection.make_training_rows import make_training_rows
from tests.models_registry import loop
from traffic import storage

pytestmark = pytest.mark.django_db


def run(*command: Any) -> tuple[dict[str, Any], str]:
    """Run a command with --json; return the object on stdout, and stderr."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*map(str, command), "--json", stdout=out, stderr=err)
    return json.loads(out.getvalue()), err.getvalue()


@pytest.fixture
def first(tmp_path) -> Version:
    """The first version of a detector, trained on rule verdicts alone."""
    return loop.make_loop(tmp_path)


@pytest.fixture
def stored(trained, house, db) -> Version:
    """A version with its files, for commands that do not train."""
    detector = make_detector(loop.SPEC)
    frozen = receive_training_set(detector, write_training_set(make_training_rows(20)), rows=20, counts={})
    version = factories.make_version(
        detector=detector, training_set=frozen, onnx_digest=trained.onnx_digest, text_digest=trained.text_digest
    )
    storage.put_bytes(version.onnx_path, trained.onnx_bytes)
    storage.put_bytes(version.text_path, trained.text_model.encode())
    return version


def agree(item: Item, answer: str) -> None:
    for _ in range(2):
        person = factories.make_user()
        claims.claim(item, person)
        labels.submit(item, person, answer)


@pytest.fixture
def reviewed(first, tmp_path) -> Version:
    """Later traffic was routed, and two experts agreed on all of it."""
    Version.objects.update(threshold=0.02)
    later = [record for record in loop.records(480) if record["flow_id"] > 240 and record["event_type"] == "http"]
    seen = [loop.hit(9_999), loop.http(9_999, "/")]
    loop.take_in(tmp_path, [*later, *seen], name="later.eve.json")
    score_waiting()
    routing.route_waiting()
    for item in Item.objects.all():
        agree(
            item,
            "positive" if any(word in item.title for word in ("etc", "script", "union", "wget", "X")) else "negative",
        )
    assert Item.objects.exists()
    first.refresh_from_db()
    return first


def test_retrain_without_any_answer_trains_and_says_what_the_gate_lacks(first):
    report, _err = run("retrain", first.detector.name)
    assert report["version"] == "http-attacks:2"
    assert report["stage"] == "candidate"
    assert report["admitted"] == 0
    assert report["training_set"]["digest"] == first.training_set.digest  # nobody has said anything yet
    assert not report["gate"]["passed"]


def test_answers_grow_the_set_train_the_next_version_and_change_the_gate(reviewed):
    before, _err = run("retrain", "http-attacks")
    assert before["admitted"] == ReferenceRow.objects.count() > 0
    assert before["snapshot"]["rows"] == ReferenceRow.objects.count()
    reports = GateReport.objects.count()
    again, _err = run("retrain", "http-attacks")
    assert again["admitted"] == 0
    assert again["training_set"]["digest"] == before["training_set"]["digest"]
    assert again["threshold"] == before["threshold"]
    assert GateReport.objects.count() == reports + 1  # of the new version


def test_the_gate_answers_by_its_exit_code(reviewed, capsys):
    reference.grow()
    out = io.StringIO()
    with pytest.raises(CommandError, match="may not leave"):
        call_command("gate", "http-attacks", "1", "--threshold", "0.999999", "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert report["passed"] is False
    assert report["digest"] == GateReport.objects.latest("id").digest


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("retrain", "nothing"), "no detector 'nothing'. Known: http-attacks"),
        (("gate", "http-attacks", "7"), "no version 7. Its versions: 1"),
        (("gate", "nothing", "1"), "is the name right"),
        (("gate", "http-attacks", "1", "--threshold", "7"), "between 0 and 1"),
        (("grow", "nothing"), "no detector 'nothing'"),
        (("build_bundle", "/no/such/file.yml", "--out", "x.onnx"), "No such file"),
    ],
)
def test_mistakes_are_named(stored, command, told):
    with pytest.raises(CommandError, match=told):
        call_command(*command)


def config(folder: Path, text: str) -> Path:
    path = folder / "build_config.yml"
    path.write_text(text, encoding="utf-8")
    return path


SILENT = """models:
  - registry_name: "http-attacks"
    version: 1
    threshold: 0.7
    is_silent: "true"
"""


def test_a_silent_bundle_needs_no_gate_and_says_what_is_in_it(stored, tmp_path):
    out = tmp_path / "bundle.onnx"
    report, _err = run("build_bundle", config(tmp_path, SILENT), "--out", out)
    assert report["bytes"] == out.stat().st_size
    assert report["entries"] == [
        {"version": "http-attacks:1", "threshold": 0.7, "is_silent": True, "gate_report": None}
    ]
    assert report["metadata"] == json.loads(json.dumps(read_metadata(out.read_bytes())))
    again, _err = run("build_bundle", config(tmp_path, SILENT), "--out", out)
    assert again["digest"] == report["digest"]


def test_a_loud_entry_without_a_passed_gate_builds_nothing(stored, tmp_path):
    out = tmp_path / "bundle.onnx"
    with pytest.raises(CommandError, match="No bundle was built"):
        run("build_bundle", config(tmp_path, SILENT.replace('"true"', '"false"')), "--out", out)
    assert not out.exists()


def test_a_broken_configuration_names_file_and_line(stored, tmp_path):
    path = config(tmp_path, SILENT.replace("threshold: 0.7", "threshold: seven"))
    with pytest.raises(CommandError, match=r"build_config\.yml:4: "):
        run("build_bundle", path, "--out", tmp_path / "bundle.onnx")


def test_route_says_what_waits(reviewed):
    report, _err = run("route")
    assert report["sessions"] == 0
    assert "http-attacks-unique" in report["waiting"]
