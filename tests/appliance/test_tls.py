"""A TLS bundle at the customer: record and flow record in, verdict out."""

from __future__ import annotations

import hashlib
import math
from functools import cache

import lightgbm
import numpy as np
import pytest

from appliance.records import model_row
from appliance.scorer import BundleScorer, WrongRecord
from detection.bundle import build_bundle
from detection.bundle_config import parse_config
from detection.contract import TLS_1, encode, session_columns
from detection.scoring import Scorer, features
from detection.thresholds import raw_threshold
from detection.trees import build_version_model
from tests.detection import eve
from tests.detection.make_models import make_member
from tests.detection.make_tls import make_tls_rows

CONFIG = """models:
- registry_name: "ktalk"
  version: 1
  threshold: 0.5
  is_silent: false
"""


@cache
def version() -> bytes:
    rows = make_tls_rows(800)
    values = features(TLS_1, encode(TLS_1, session_columns(rows)))
    label = np.array([(row["host"] or "").startswith("api-") ^ bool(row["bytes_to_client"]) for row in rows])
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "deterministic": True, "seed": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(values, label.astype(int)), 20)
    return build_version_model(TLS_1, booster.dump_model(), {"text_digest": "text 1"})


@cache
def scorer() -> BundleScorer:
    [entry] = parse_config(CONFIG)
    member = make_member(entry, onnx_bytes=version(), protocol="tls", positive_class="ktalk")
    data = build_bundle([member], config_text=CONFIG)
    return BundleScorer(data, hashlib.sha256(data).hexdigest())


def test_verdicts_are_those_of_the_version() -> None:
    rows = make_tls_rows(200, seed=7)
    raw = Scorer(version()).raw(encode(TLS_1, session_columns(rows)))
    verdicts = [scorer().score_row(row) for row in rows]
    assert [bool(verdict) for verdict in verdicts] == (raw >= raw_threshold(0.5)).tolist()
    assert {verdict.detectors for verdict in verdicts} == {(), ("ktalk",)}


def test_the_flow_record_brings_sizes_and_duration() -> None:
    row = model_row(eve.tls(), eve.flow(bytes_toclient=9000))
    assert row["host"]
    assert (row["bytes_to_client"], row["packets_to_server"]) == (9000, 6)
    assert row["flow_end"] - row["flow_start"] == 2_000_000
    assert model_row(eve.tls())["bytes_to_client"] is None
    [ended, open_] = (scorer().score(eve.tls(), flow).scores[0] for flow in (eve.flow(), None))
    assert not math.isnan(ended)
    assert ended != open_


def test_the_appliance_reads_what_the_reader_stores() -> None:
    """Home and customer must judge the same session by the same bits."""
    [stored], _reader = eve.read([eve.tls(), eve.flow()])
    short = model_row(eve.tls(), eve.flow())
    assert {name: short[name] for name in TLS_1.reads} == {name: stored.get(name) for name in TLS_1.reads}


def test_a_record_of_another_protocol_is_refused() -> None:
    with pytest.raises(WrongRecord, match="reads tls records, this one is 'http'"):
        scorer().score(eve.http())
