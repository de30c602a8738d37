"""Verdict records: what goes out for every session that was judged, one JSON line each."""

from __future__ import annotations

import math
from typing import Any

import orjson

from appliance.scorer import BundleScorer, Verdict

KEPT = ("timestamp", "flow_id", "tx_id", "src_ip", "src_port", "dest_ip", "dest_port", "community_id")


def verdict_record(scorer: BundleScorer, record: dict[str, Any], verdict: Verdict) -> bytes:
    """Return the record of one answer: our data under one own object, as EVE tools expect."""
    said = {
        "bundle": scorer.bundle,
        "digest": scorer.digest,
        "fired": verdict.detectors,
        "scores": {
            name: score for name, score in zip(scorer.models, verdict.scores, strict=True) if not math.isnan(score)
        },
    }
    kept = {name: value for name in KEPT if _is_plain(value := record.get(name))}
    return orjson.dumps({**kept, "event_type": "etalon", "app_proto": scorer.protocol, "etalon": said})


def _is_plain(value: Any) -> bool:
    """A text or a number as sensors write them: anything else must not keep a verdict from going out."""
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63)
