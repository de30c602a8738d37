"""Models from outside: opened first in a limited process, then candidates; only ONNX enters, by page and by API."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from onnx import TensorProto, helper

from accounts.models import User
from accounts.services import tokens
from detection.foreign import Inspected, inspect
from detection.scoring import RefusedModel
from models_registry.models import Detector, LedgerEntry, Version
from models_registry.services import detectors, foreign, gates, ledger_check
from tests.factories import make_detector
from tests.models_registry.loop import keep_snapshot, make_loop, right_rows
from traffic import storage

pytestmark = pytest.mark.django_db


@pytest.fixture
def ours(tmp_path: Path) -> Version:
    """A version that somebody else might have trained."""
    return make_loop(tmp_path)


@pytest.fixture
def theirs() -> Detector:
    return detectors.make_detector({"name": "theirs", "rules": {"name_patterns": ["ET WEB_SERVER *"]}})


_opened: dict[tuple[bytes, bytes], Inspected] = {}


@pytest.fixture(autouse=True)
def opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own takes seconds and says the same of the same files: tests share what it said of good ones."""

    def remembered(model: bytes, text: bytes) -> Inspected:
        if (model, text) not in _opened:
            _opened[model, text] = inspect(model, text)
        return _opened[model, text]

    monkeypatch.setattr(foreign, "inspect", remembered)


def files(version: Version) -> tuple[bytes, bytes]:
    return storage.get_bytes(version.onnx_path), storage.get_bytes(version.text_path)


def offer(version: Version, **fields: Any) -> foreign.Offer:
    model, text_model = files(version)
    return foreign.Offer(**{"model": model, "text_model": text_model, "threshold": 0.7} | fields)


def test_a_model_becomes_a_candidate_with_its_evidence_and_can_be_gated(
    ours: Version, theirs: Detector, engineer: User
) -> None:
    given = offer(ours, evidence={"auc": 0.99, "by": "A\0B"}, origin="upload: the lab")
    version, is_new = foreign.receive(theirs, given, engineer)
    assert (is_new, version.stage, version.onnx_digest, version.contract) == (
        True,
        "candidate",
        ours.onnx_digest,
        "http-1",
    )
    assert version.parameters["foreign"]["evidence"] == {"auc": 0.99, "by": "AB"}
    assert version.training_set.rows == 0
    assert version.stage_changes.get().reason == "came from outside: upload: the lab"
    assert LedgerEntry.objects.filter(kind="version", detector=theirs).get().by == engineer
    assert ledger_check.verify().findings == []
    keep_snapshot(theirs, *right_rows())
    assert gates.run_gate(version).report["checks"]
    assert foreign.receive(theirs, given, engineer) == (version, False)


def test_its_training_set_comes_along_if_it_is_the_one_the_model_names(ours: Version, theirs: Detector) -> None:
    frozen = storage.get_bytes(ours.training_set.path)
    with pytest.raises(foreign.ForeignRefused, match="not the one that the model names") as refused:
        foreign.receive(theirs, offer(ours, training_set=frozen + b"x"))
    assert refused.value.field == "training_set"
    version, _new = foreign.receive(theirs, offer(ours, training_set=frozen))
    assert (version.training_set.digest, version.training_set.rows) == (
        ours.training_set.digest,
        ours.training_set.rows,
    )


def changed(model: bytes, change: Callable[[onnx.ModelProto], None]) -> bytes:
    proto = onnx.load_from_string(model)
    change(proto)
    return bytes(proto.SerializeToString())


def strange_operator(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("RandomNormal", [], ["noise"], shape=[1]))


def strange_domain(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Anything", [], ["x"], domain="com.example"))


def outside_data(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer.add(name="secret", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def no_contract(proto: onnx.ModelProto) -> None:
    del proto.metadata_props[:]


def other_contract(proto: onnx.ModelProto) -> None:
    for item in proto.metadata_props:
        item.value = item.value.replace('"name":"http"', '"name":"smtp"')


def other_input(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def wide_output(proto: onnx.ModelProto) -> None:
    raw = next(value for value in proto.graph.output if value.name == "raw")
    raw.type.tensor_type.shape.dim[1].dim_value = 2


def test_each_wrong_model_is_refused_with_its_own_reason(ours: Version) -> None:
    model, text = files(ours)
    wrong = [
        (changed(model, strange_operator), "operator RandomNormal"),
        (changed(model, strange_domain), "unknown operator domain 'com.example'"),
        (changed(model, outside_data), "keeps its data outside the file"),
        (changed(model, no_contract), "names no feature contract"),
        (changed(model, other_contract), "none of ours"),
        (changed(model, other_input), "cannot be run|the inputs are"),
        (changed(model, wide_output), "has 2 columns, expected one"),
        (b"\x08\x07" + b"no protobuf", "not ONNX"),
    ]
    for data, reason in wrong:
        with pytest.raises(RefusedModel, match=reason):
            inspect(data, text)
    with pytest.raises(RefusedModel, match="the text model is not LightGBM"):
        inspect(model, b"else")


def test_the_text_of_another_model_is_noticed(ours: Version, theirs: Detector) -> None:
    _model, text = files(ours)
    other = re.sub(  # as long as before: the text names the size of each tree
        rb"(leaf_value=-?[0.]*)([1-9])", lambda found: found[1] + (b"1" if found[2] != b"1" else b"2"), text
    )
    with pytest.raises(foreign.ForeignRefused, match="it is not the model's") as refused:
        foreign.receive(theirs, offer(ours, text_model=other))
    assert refused.value.field == "text_model"


def test_another_protocol_is_refused(ours: Version) -> None:
    with pytest.raises(foreign.ForeignRefused, match="is about tls"):
        foreign.receive(make_detector(protocol="tls"), offer(ours))


def send(client: Client, detector: Detector, **fields: Any) -> Any:
    return client.post(f"/api/v1/detectors/{detector.name}/versions/", fields)


@pytest.fixture
def script(engineer: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {tokens.make_own_token(engineer, 'script')[1]}"})


def upload(data: bytes, name: str = "model.onnx") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pickle.dumps({"model": np.zeros(3)}), "is a pickle"),
        (b"PK\x03\x04" + b"\0" * 30, "zip archive"),
        (b"\x78\x9c" + b"\0" * 30, "compressed"),
        (b"tree\nversion=v4\n", "LightGBM text model"),
    ],
)
def test_a_pickle_is_refused_with_a_problem_document(script: Client, data: bytes, reason: str) -> None:
    answer = send(script, make_detector(), model=upload(data), text_model=upload(b"tree\n"), threshold="0.7")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    [error] = answer.json()["errors"]
    assert (error["field"], error["code"]) == ("model", "refused")
    assert reason in error["detail"] and "only" in error["detail"]
    assert not Version.objects.exists()


def test_a_script_hands_one_in_twice(script: Client, ours: Version, theirs: Detector) -> None:
    model, text = files(ours)

    def fields() -> dict[str, Any]:
        named = {"threshold": "0.7", "origin": "the lab", "evidence": '{"auc": 0.99}', "stage": "active"}
        return {"model": upload(model), "text_model": upload(text, "model.txt")} | named

    first, again = send(script, theirs, **fields()), send(script, theirs, **fields())
    assert (first.status_code, again.status_code) == (201, 200), first.content
    assert (first.json()["number"], first.json()["new"], again.json()["new"]) == (1, True, False)
    assert first.json()["onnx_digest"] == ours.onnx_digest
    assert theirs.versions.get().stage == "candidate"  # whatever stage was asked for


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"threshold": "2"}, "threshold"),
        ({"evidence": "[1]"}, "evidence"),
        ({"text_model": None}, "text_model"),
    ],
)
def test_wrong_fields_are_named(
    script: Client, ours: Version, theirs: Detector, fields: dict[str, Any], field: str
) -> None:
    model, text = files(ours)
    told = {"model": upload(model), "text_model": upload(text), "threshold": "0.7"} | fields
    answer = send(script, theirs, **{name: value for name, value in told.items() if value is not None})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_the_page_does_the_same_and_says_what_is_wrong(
    engineer_client: Client, ours: Version, theirs: Detector
) -> None:
    model, text = files(ours)
    address = reverse("models_registry:upload-version", args=[theirs.name])
    refused = engineer_client.post(
        address, {"model": upload(b"\x80\x04x"), "text_model": upload(text), "threshold": "0.7"}
    )
    assert refused.status_code == 400
    assert "is a pickle" in refused.text
    page = engineer_client.post(
        address, {"model": upload(model), "text_model": upload(text), "threshold": "0.7"}, follow=True
    )
    assert "theirs:1 is a candidate." in page.text
