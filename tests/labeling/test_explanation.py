"""The explanation: exact contributions, mapped to the bytes on the page."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from detection.contract import encode
from labeling import evidence
from labeling.services import claims
from models_registry.services import versions
from tests import factories
from tests.factories import make_row
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db


@pytest.fixture
def explained(trained_version):
    """Return a function from row fields to the item of that session."""
    queue = factories.make_queue(detector=trained_version.detector)

    def made(**fields):
        item = make_item(queue, make_row(**fields), version=trained_version)
        return claims.items().get(pk=item.pk)

    return made


def test_base_and_contributions_add_up_to_the_raw_score(explained, trained_version):
    item = explained()
    why = evidence.why(item)
    [bar] = evidence.bars_today(item, why.row)
    total = why.base + sum(part.contribution for part in why.explanation.items)
    columns = {name: [value] for name, value in why.row.items()}
    raw = float(versions.scorer(trained_version).raw(encode(versions.contract(trained_version), columns))[0])
    assert total == pytest.approx(raw)
    assert bar.score == pytest.approx(1 / (1 + 2.718281828459045**-raw))
    assert bar.verdict


def test_strong_features_come_first_and_at_least_three_are_shown(explained):
    bars = evidence.why(explained()).bars
    sizes = [abs(bar.contribution) for bar in bars]
    assert len(sizes) >= 3
    assert sizes == sorted(sizes, reverse=True)
    assert bars[0].width == "100.0"


def test_marked_bytes_are_those_the_feature_looked_at(explained):
    texts = evidence.why(explained()).texts
    marked = "".join(re.findall(r"<mark[^>]*>(.*?)</mark>", texts["uri_decoded"] + texts["uri"]))
    assert marked
    assert re.sub(r"<[^>]+>", "", texts["uri"]) == "/cgi-bin/x.sh?id=1%27%20or%201=1--"


def test_marks_do_not_break_characters_or_escaping(explained):
    item = explained(uri_decoded="/日本'<script>\u202e' or 1=1--é", uri="/%E6%97%A5' or 1=1--<b>")
    for text in evidence.why(item).texts.values():
        assert "<script" not in text
        assert "<b>" not in text
        text.encode()


def test_the_fragment_replaces_the_texts_and_the_verdicts(explained, expert_client):
    item = explained()
    page = expert_client.get(reverse("labeling:explanation", args=[item.pk])).text
    assert page.lstrip().startswith('<section class="panel explanation" id="explanation"')
    assert re.search(r'id="wire-uri_decoded"[^>]*hx-swap-oob="morph"', page)
    assert re.search(r'id="verdicts"[^>]*hx-swap-oob="morph"', page)
    assert "<mark" in page
    assert " style=" not in page


def test_a_version_that_came_later_than_the_item_is_shown(explained, trained, trained_version, expert_client):
    item = explained()
    later = factories.make_version(
        detector=trained_version.detector,
        stage="candidate",
        onnx_path=trained_version.onnx_path,
        onnx_digest=trained.onnx_digest,
    )
    page = expert_client.get(reverse("labeling:explanation", args=[item.pk])).text
    assert f":{later.number} <span" in page
    assert "candidate" in page


def test_a_tampered_text_model_explains_nothing(explained, trained_version, expert_client):
    from traffic import storage

    item = explained()
    storage.put_bytes(trained_version.text_path, b"tree\n")
    trained_version.__class__.objects.update(text_path=trained_version.text_path, text_digest="0" * 64)
    page = expert_client.get(reverse("labeling:explanation", args=[item.pk])).text
    assert "could not be worked out" in page


@pytest.mark.parametrize("role", ["support"])
def test_support_reads_no_explanation(item, role, request):
    client = request.getfixturevalue(f"{role}_client")
    assert client.get(reverse("labeling:explanation", args=[item.pk])).status_code == 403
