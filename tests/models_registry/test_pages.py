"""The store's pages show what is there, escaped, and say what would fill them when nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from models_registry.models import Version
from models_registry.services import bundles, scoring
from models_registry.services.gates import run_gate
from tests.models_registry.loop import ATTACK, keep_snapshot, make_loop, reference_row, right_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(tmp_path: Path) -> Version:
    version = make_loop(tmp_path)
    scoring.score_waiting()
    return version


def text(client: Client, name: str, *args: object, **query: object) -> str:
    response = client.get(reverse(f"models_registry:{name}", args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def test_an_empty_store_says_how_to_begin(engineer_client: Client) -> None:
    assert "make_detector" in text(engineer_client, "detectors")
    assert "build_bundle" in text(engineer_client, "bundles")


def test_a_detector_shows_its_versions_and_rules(engineer_client: Client, version: Version) -> None:
    assert "http-attacks:1" in text(engineer_client, "detectors")
    page = text(engineer_client, "detector", "http-attacks")
    assert "ET WEB_SERVER *" in page
    assert reverse("models_registry:board", args=["http-attacks", 1]) in page


def test_the_board_counts_sessions_and_hosts(auditor_client: Client, version: Version) -> None:
    board = text(auditor_client, "board", "http-attacks", 1)
    assert "240" in board
    assert "9 hosts" in board
    assert 'aria-pressed="true"' in board


def test_a_window_leaves_older_sessions_out(auditor_client: Client, version: Version) -> None:
    assert ">0<" in text(auditor_client, "board", "http-attacks", 1, days=7)  # the log is of March
    assert "240" in text(auditor_client, "board", "http-attacks", 1, days="nonsense")


def test_the_version_page_shows_its_training(expert_client: Client, version: Version) -> None:
    page = text(expert_client, "version", "http-attacks", 1)
    for expected in ("Leave one source out", "One source only", "silent", version.onnx_digest, "Not gated yet"):
        assert expected in page


def test_the_histogram_is_drawn_without_style_attributes(expert_client: Client, version: Version) -> None:
    picture = text(expert_client, "scores", "http-attacks", 1)
    assert "<rect" in picture
    assert "style=" not in picture


def test_the_gate_report_leads_with_one_sentence_and_lists_rows(engineer_client: Client, version: Version) -> None:
    keep_snapshot(version.detector, *right_rows(), reference_row(ATTACK, "negative", number=3))
    page = text(engineer_client, "gate", run_gate(version).pk)
    assert "<h1>http-attacks:1 at" in page
    assert "may not leave: 1 check failed" in page
    assert "core-1|3|0|" in page
    assert "union select" not in page  # titles carry the shape of an address, never its text


def test_a_bundle_shows_entries_metadata_and_configuration(support_client: Client, version: Version) -> None:
    bundle = bundles.build(
        'models:\n- registry_name: "http-attacks"\n  version: 1\n  threshold: 0.5\n  is_silent: true\n'
    )
    assert str(bundle) in text(support_client, "bundles")
    page = text(support_client, "bundle", bundle.pk)
    assert bundle.digest in page
    assert "is_silent: true" in page


def test_what_is_not_there_is_not_found(engineer_client: Client, version: Version) -> None:
    for name, args in (("detector", ["none"]), ("version", ["http-attacks", 9]), ("gate", [1]), ("bundle", [1])):
        assert engineer_client.get(reverse(f"models_registry:{name}", args=args)).status_code == 404


def test_support_sees_bundles_and_no_models(support_client: Client, version: Version) -> None:
    assert support_client.get(reverse("models_registry:detectors")).status_code == 403
    assert support_client.get(reverse("models_registry:version", args=["http-attacks", 1])).status_code == 403
