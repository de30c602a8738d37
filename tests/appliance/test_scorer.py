from __future__ import annotations

import hashlib
import math
import subprocess
import sys

import pytest

from appliance.scorer import BundleScorer, WrongBundle
from detection.bundle import build_bundle
from detection.bundle_config import parse_config
from detection.contract import HTTP_1, encode, session_columns
from detection.scoring import Scorer
from detection.sources.suricata import session_row
from detection.thresholds import raw_threshold
from tests.detection.eve import record
from tests.detection.make_models import make_member, make_rows, make_version
from tests.detection.test_bundle_config import SLIDE


def make_bundle():
    return build_bundle([make_member(entry, 1) for entry in parse_config(SLIDE)], config_text=SLIDE)


def make_scorer():
    data = make_bundle()
    return BundleScorer(data, hashlib.sha256(data).hexdigest())


def eve(**http):
    return record("http", http={"url": "/", "hostname": "www.example.com", "http_method": "GET", "status": 200} | http)


def test_a_bundle_is_loaded_by_its_digest_only(tmp_path):
    data = make_bundle()
    path = tmp_path / "bundle.onnx"
    path.write_bytes(data)
    assert BundleScorer.load(path, hashlib.sha256(data).hexdigest()).detectors == ("Model_LGBM",)
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(WrongBundle, match="announced was"):
        BundleScorer.load(path, hashlib.sha256(data).hexdigest())


def test_a_version_is_no_bundle():
    version = make_version()
    with pytest.raises(WrongBundle, match="no bundle"):
        BundleScorer(version, hashlib.sha256(version).hexdigest())


def test_verdicts_are_those_of_the_version():
    scorer = make_scorer()
    rows = make_rows(200, seed=41)
    raw = Scorer(make_version()).raw(encode(HTTP_1, session_columns(rows)))
    verdicts = [scorer.score_row(row) for row in rows]
    assert [bool(verdict) for verdict in verdicts] == (raw >= raw_threshold(0.5)).tolist()
    assert {verdict.detectors for verdict in verdicts} == {(), ("Model_LGBM",)}


def test_a_parsed_record_is_scored_as_its_session():
    scorer = make_scorer()
    for each in (eve(), eve(url="/?id=1%27 or 1=1"), eve(status="404"), record("http")):
        assert scorer.score(each).detectors == scorer.score_row(session_row(each)).detectors


def test_silent_models_stay_off_until_asked():
    scorer = make_scorer()
    quiet, loud = scorer.score(eve()).scores, scorer.score(eve(), run_silent=True).scores
    assert math.isnan(quiet[0])
    assert quiet[1] == loud[1] == loud[0]


def test_scoring_needs_neither_onnx_nor_lightgbm_nor_pandas(tmp_path):
    data = make_bundle()
    path = tmp_path / "bundle.onnx"
    path.write_bytes(data)
    program = (
        "import sys; from pathlib import Path\n"
        "from appliance.scorer import BundleScorer\n"
        f"BundleScorer.load(Path({str(path)!r}), {hashlib.sha256(data).hexdigest()!r}).score({eve()!r})\n"
        "heavy = {'onnx', 'lightgbm', 'pandas', 'pyarrow', 'duckdb', 'django'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
