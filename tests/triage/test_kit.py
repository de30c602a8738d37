"""From a kit to a reproduction: the appliance's own score, by the very bundle file, to the last digit that was told."""

from __future__ import annotations

import json

import pytest

from appliance.__main__ import main
from models_registry.models import Bundle
from tests.models_registry.loop import http
from tests.triage.conftest import build
from traffic import storage
from triage.services import filing
from triage.services.filing import Details

pytestmark = pytest.mark.django_db
FLAGGED = http(7, "/?id=1' union select 1,2--")


@pytest.fixture
def kit(loud, tmp_path):
    """Return what `python -m appliance kit` writes at a customer of the first bundle."""
    bundle = tmp_path / "bundle.onnx"
    bundle.write_bytes(storage.get_bytes(Bundle.objects.get().path))
    record = tmp_path / "record.json"
    record.write_text(json.dumps(FLAGGED))

    def made(consent: str) -> bytes:
        out = tmp_path / f"{consent}.kit"
        assert (
            main(["kit", "--bundle", str(bundle), "--record", str(record), "--consent", consent, "--out", str(out)])
            == 0
        )
        return out.read_bytes()

    return made


def filed(customer, support, data: bytes):
    return filing.file(customer, "see the kit", "soc", support, Details(files=(("a.kit", data),)))


@pytest.mark.parametrize("consent", ["record", "text", "vector"])
def test_a_kit_of_any_depth_gives_the_score_of_the_customer(kit, customer, support, consent):
    build_another = Bundle.objects.get()
    complaint = filed(customer, support, kit(consent))
    tried = complaint.reproductions.get()
    assert (tried.bundle, tried.positive, tried.equal) == (build_another, True, True)
    assert tried.score == pytest.approx(float(tried.score_told), abs=1e-9)
    states = list(complaint.states.values_list("state", flat=True))
    # a vector alone is reproduced, not confirmed: the record is asked for
    expected = ["received", "reproduced"] + (["needs-information"] if consent == "vector" else [])
    assert states == expected
    if consent == "vector":
        assert complaint.strength == "vector"
        assert complaint.messages.get().template == "ask-consent"
        filing.add_information(complaint, "with their consent", support, json.dumps(FLAGGED))
        assert complaint.strength == "session"
        assert complaint.states.last().state == "reproduced"


def test_the_bundle_of_the_kit_is_asked_and_not_the_newest(kit, loud, customer, support):
    data, first = kit("record"), Bundle.objects.get()
    build(loud, silent=True)
    assert filed(customer, support, data).bundle == first


def test_a_bundle_that_was_not_built_here_is_named(kit, customer, support):
    told = json.loads(kit("record")) | {"bundle": "f" * 64}
    complaint = filed(customer, support, json.dumps(told).encode())
    assert complaint.state == "needs-information"
    assert not complaint.reproductions.exists()


def test_a_vector_of_another_contract_is_no_evidence(loud, customer, support):
    complaint = filed(customer, support, b"[1, 2, 3]")
    assert (complaint.state, complaint.strength) == ("needs-information", "nothing")


def test_what_makes_no_kit_is_said(loud, tmp_path, capsys):
    bundle = tmp_path / "b.onnx"
    bundle.write_bytes(storage.get_bytes(Bundle.objects.get().path))
    record = tmp_path / "r.json"
    for told in ("{", '{"event_type": "tls", "tls": {}}'):
        record.write_text(told)
        assert main(["kit", "--bundle", str(bundle), "--record", str(record)]) == 2
        assert "no kit" in capsys.readouterr().err
