"""What an expert sees of a TLS session."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson
import pytest
from django.urls import reverse

from detection.contract import TLS_1
from detection.sessions import COLUMN_NAMES
from detection.training import TrainedModel, TrainingPolicy, train
from detection.training_rows import TrainingRows
from labeling import evidence
from labeling.models import Item
from labeling.services import claims
from models_registry.models import Version
from tests import factories
from tests.factories import START, make_session_item, make_tls_row
from traffic import storage

pytestmark = pytest.mark.django_db
DAY = 86_400_000_000


@pytest.fixture
def detector() -> Any:
    words = {"positive_class": "ktalk", "negative_class": "other", "positive_key": "y", "negative_key": "x"}
    return factories.make_detector(name="ktalk", protocol="tls", **words)


def make_item(detector: Any, record: dict[str, str] | None = None, **fields: Any) -> Item:
    version = factories.make_version(detector=detector, contract="tls-1")
    queue = factories.make_queue(detector=detector)
    found = make_session_item(queue, make_tls_row(**fields), version=version, record=record or {})
    return claims.items().get(pk=found.pk)


@pytest.fixture
def shown(client: Any, expert: Any, detector: Any) -> Any:
    """Return a function from row fields to the page, and to what a reader sees of it."""
    client.force_login(expert)

    def page(**fields: Any) -> str:
        item = make_item(detector, **fields)
        html = client.get(reverse("labeling:item", args=[item.pk])).content.decode()
        return re.sub(r"\s+", " ", html)

    return page


def words_in(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_the_page_shows_names_fingerprints_certificate_and_sizes(shown: Any) -> None:
    words = words_in(shown())
    for expected in (
        "api-3.talk.example",
        "TLS 1.2",
        "t12d1516h2_8daaf6152771_02713d6af862",
        "b32309a26951912be7dba376398abc3b",
        "eb1d94daa7e0344597e756a1fb6e7054",
        "h2,http/1.1",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "C=XX, O=Talk, CN=*.talk.example",
        "C=XX, O=Synthetic Trust, CN=Synthetic CA 1",
        "*.talk.example,talk.example",
        "90 days, 30 days old when seen",
        "2,048",
        "42.048 s",
    ):
        assert expected in words, expected


def test_nothing_of_http_is_shown(shown: Any) -> None:
    html = shown()
    assert "User-Agent" not in html
    assert 'name="uri-view"' not in html


def test_the_answers_carry_the_words_of_the_detector(client: Any, expert: Any, detector: Any) -> None:
    item = make_item(detector)
    claims.claim(item, expert)
    client.force_login(expert)
    words = words_in(client.get(reverse("labeling:item", args=[item.pk])).content.decode())
    assert "y ktalk" in words
    assert "x other…" in words
    assert "look-alike application" in words


def test_a_hidden_certificate_and_an_unseen_end_are_said(shown: Any) -> None:
    certificate = dict.fromkeys(name for name in COLUMN_NAMES if name.startswith("cert_"))
    words = words_in(shown(**certificate, tls_version="TLS 1.3", bytes_to_server=None, flow_end=None))
    assert "None was seen: TLS 1.3 hides it" in words
    assert "sizes and duration are not known" in words


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cert_issuer": "C=XX, O=Talk, CN=*.talk.example"}, "issued by itself"),
        ({"cert_not_after": START - DAY}, "had expired"),
        ({"cert_not_before": START + DAY}, "not yet valid"),
    ],
)
def test_what_is_odd_about_a_certificate_is_said(shown: Any, fields: dict[str, Any], said: str) -> None:
    assert said in words_in(shown(**fields))


def test_texts_of_attackers_are_escaped(shown: Any) -> None:
    html = shown(
        host="<script>a</script>\u202e", ja4="<b>x", cert_subject="CN=<img src=x>", cert_names="<i>\0", alpn="<u>h2"
    )
    for bad in ("<script>a", "<b>x", "<img src=x", "<i>", "<u>h2", "\u202e"):
        assert bad not in html, bad


def test_a_zeek_line_is_shown_as_it_was_received(client: Any, expert: Any, detector: Any) -> None:
    line = "1519862400.0\tCHhAvVGS1DHFjwGM9\t10.0.0.1\t4000\t192.0.2.8\t443\tTLSv12\t<b>"
    found = make_item(detector, {"raw": line})
    client.force_login(expert)
    assert client.get(reverse("labeling:item", args=[found.pk])).status_code == 200
    raw = client.get(reverse("labeling:raw-record", args=[found.pk])).content.decode()
    assert "CHhAvVGS1DHFjwGM9" in raw
    assert "<b>" not in raw


def test_other_sessions_of_the_group_are_listed_by_name_and_size(client: Any, expert: Any, detector: Any) -> None:
    examples = [make_tls_row(host="meet.talk.example", bytes_to_client=987_654)]
    found = make_item(detector, {"examples": orjson.dumps(examples).decode()})
    client.force_login(expert)
    words = words_in(client.get(reverse("labeling:spread", args=[found.pk])).content.decode())
    assert "meet.talk.example" in words
    assert "987,654" in words


# --- why -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    """A small model that knows one client's fingerprint from another's."""
    fields = ("b32309a26951912be7dba376398abc3b", "e4d448cdfe06dc1243c1eb026c74ac9a")
    rows = [make_tls_row(flow_id=number, ja3=fields[number % 2], ja4=None) for number in range(60)]
    return train(
        TrainingRows(
            rows={name: [row[name] for row in rows] for name in COLUMN_NAMES},
            label=np.array([number % 2 for number in range(60)], np.int8),
            weight=np.ones(60),
            source=["a" if number % 3 else "b" for number in range(60)],
            origin=["expert"] * 60,
            group=[f"{number}|10.0.0.1" for number in range(60)],
            key=[str(number) for number in range(60)],
        ),
        TLS_1,
        TrainingPolicy(workers=1),
    )


@pytest.fixture
def version(model: TrainedModel, detector: Any, house: None) -> Version:
    found = factories.make_version(
        detector=detector,
        contract="tls-1",
        onnx_digest=model.onnx_digest,
        text_digest=model.text_digest,
        threshold=model.threshold,
    )
    storage.put_bytes(found.onnx_path, model.onnx_bytes)
    storage.put_bytes(found.text_path, model.text_model.encode())
    return found


def test_a_code_is_explained_by_the_text_it_stands_for(version: Version, detector: Any) -> None:
    item = make_session_item(
        factories.make_queue(detector=detector), make_tls_row(ja3="e4d448cdfe06dc1243c1eb026c74ac9a"), version=version
    )
    [bar] = [bar for bar in evidence.why(claims.items().get(pk=item.pk)).bars if "JA3," in bar.title]
    assert bar.value == "e4d448cdfe06…"


def test_the_explanation_swaps_only_texts_that_stand_on_the_page(
    client: Any, expert: Any, version: Version, detector: Any
) -> None:
    item = make_session_item(factories.make_queue(detector=detector), make_tls_row(), version=version)
    client.force_login(expert)
    page = client.get(reverse("labeling:item", args=[item.pk])).content.decode()
    why = client.get(reverse("labeling:explanation", args=[item.pk])).content.decode()
    swapped = re.findall(r'<(\w+) id="(wire-[\w-]+)"[^>]*hx-swap-oob', why)
    assert swapped
    for tag, name in swapped:
        assert re.search(rf'<{tag}[^>]* id="{name}"', page), name
