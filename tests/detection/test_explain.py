from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from detection.contract import HTTP_1, encode, session_columns
from detection.explain import TamperedModel, contributions
from detection.scoring import Scorer, features
from tests.detection.make_models import make_booster, make_rows, make_version

TEXT = make_booster().model_to_string()
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()
ROWS = make_rows(40, seed=31)


def test_contributions_and_base_sum_up_to_the_raw_score():
    raw = Scorer(make_version()).raw(encode(HTTP_1, session_columns(ROWS)))
    for row, sum_ in zip(ROWS, raw, strict=True):
        assert contributions(TEXT, DIGEST, HTTP_1, row).raw == pytest.approx(sum_, abs=1e-9)


def test_the_largest_contribution_comes_first_and_each_has_its_value():
    explanation = contributions(TEXT, DIGEST, HTTP_1, ROWS[3])
    sizes = [abs(item.contribution) for item in explanation.items]
    assert sizes == sorted(sizes, reverse=True)
    values = features(HTTP_1, encode(HTTP_1, session_columns([ROWS[3]])))[0]
    assert len(explanation.items) == len(values)
    assert sorted(str(item.value) for item in explanation.items) == sorted(str(value) for value in values.tolist())


def test_a_tampered_text_model_is_refused():
    with pytest.raises(TamperedModel, match="the text model has the digest"):
        contributions(TEXT.replace("0.1", "0.2", 1), DIGEST, HTTP_1, ROWS[0])


def spans_of(row):
    explanation = contributions(TEXT, DIGEST, HTTP_1, row)
    return [(item, row[item.field].encode("utf-8", "surrogatepass")) for item in explanation.items if item.spans]


def test_spans_point_into_the_whole_text_also_when_the_model_saw_it_cut():
    tail = "z/?id=1" * 40
    found = spans_of(ROWS[3] | {"uri": "/A" + "é" * 3000 + tail, "uri_decoded": "/A" + "é" * 3000 + tail})
    assert found
    for item, text in found:
        assert all(0 <= start < end <= len(text) for start, end in item.spans)
        if item.feature == "uri.count.delimiters":
            assert {text[start:end] for start, end in item.spans} <= {b"?", b"=", b"&", b";"}
            assert max(end for _, end in item.spans) > len(text) - 7


def test_features_that_added_nothing_have_no_spans():
    explanation = contributions(TEXT, DIGEST, HTTP_1, ROWS[3])
    assert all(not item.spans for item in explanation.items if not item.contribution)
    assert np.isfinite(explanation.base)


def test_a_warmed_process_has_nothing_left_to_load(tmp_path):
    (tmp_path / "model.txt").write_text(TEXT)
    code = (
        "import sys\n"
        "from detection import explain\n"
        "from detection.contract import HTTP_1\n"
        "assert 'lightgbm' not in sys.modules\n"
        "explain.warm()\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        f"text = open({str(tmp_path / 'model.txt')!r}).read()\n"
        f"explain.contributions(text, {DIGEST!r}, HTTP_1, dict.fromkeys(HTTP_1.reads))\n"
        "print({name.partition('.')[0] for name in sys.modules} - loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
