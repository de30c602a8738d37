"""Scoring at the customer: one bundle in force, one parsed EVE record in, one verdict out.

A TLS session is judged when its flow has ended: its flow record goes in with it. Silent models stay off while
answering; the caller runs them afterwards or on a sample.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from appliance.records import model_row
from detection.contract import METADATA_PREFIX, Contract, encode_row
from detection.scoring import open_session, parse_metadata
from detection.sessions import Row


class WrongBundle(ValueError):  # noqa: N818
    """The file is not the bundle that was announced, or no bundle."""


class WrongRecord(ValueError):  # noqa: N818
    """The record is of another protocol than the bundle."""


class Verdict(NamedTuple):
    """The answer about one session; a tuple, because one is made per answer."""

    detectors: tuple[str, ...]  # the detectors that fired
    scores: tuple[float, ...]  # one per model of the bundle; NaN for silent models that did not run

    def __bool__(self) -> bool:
        return bool(self.detectors)


class BundleScorer:
    """A bundle, checked against its digest and ready to answer."""

    def __init__(self, onnx_bytes: bytes, digest: str) -> None:
        found = hashlib.sha256(onnx_bytes).hexdigest()
        if found != digest:
            raise WrongBundle(f"the bundle has the digest {found[:12]}, announced was {digest[:12]}")
        self._session = open_session(onnx_bytes, single_rows=True)
        properties = self._session.get_modelmeta().custom_metadata_map
        if f"{METADATA_PREFIX}models" not in properties:
            raise WrongBundle("the file is an ONNX model but no bundle")
        self.digest = digest
        self.metadata = parse_metadata(properties)
        self.contract = Contract.from_json(properties[f"{METADATA_PREFIX}contract"])
        self.detectors = tuple(detector["registry_name"] for detector in self.metadata["detectors"])
        self.protocol = self.contract.name

    @classmethod
    def load(cls, path: Path, digest: str) -> BundleScorer:
        """Return the scorer of a bundle file, refused when its digest is another."""
        return cls(path.read_bytes(), digest)

    def score(self, record: dict[str, Any], flow: dict[str, Any] | None = None, *, run_silent: bool = False) -> Verdict:
        """Return the verdict about one parsed EVE record of the bundle's protocol.

        `flow`: the EVE record of its flow's end; TLS models read sizes and duration, which are missing without it."""
        if record.get("event_type", self.protocol) != self.protocol:
            raise WrongRecord(f"the bundle reads {self.protocol} records, this one is {record['event_type']!r}")
        return self.score_row(model_row(record, flow), run_silent=run_silent)

    def score_row(self, row: Row, *, run_silent: bool = False) -> Verdict:
        """Return the verdict about one session."""
        feed = encode_row(self.contract, row)
        if run_silent:
            feed["run_silent"] = _TRUE
        fired, scores = self._session.run(_ANSWER, feed, _ONLY_ASKED)
        return Verdict(self._names(fired.tolist()[0]), tuple(scores.tolist()[0]))

    def _names(self, fired: list[bool]) -> tuple[str, ...]:
        if True not in fired:
            return ()
        return tuple(name for name, is_on in zip(self.detectors, fired, strict=True) if is_on)


_ANSWER = ["verdict", "scores"]
_ONLY_ASKED = onnxruntime.RunOptions()
_ONLY_ASKED.only_execute_path_to_fetches = True  # not the answers per flow
_TRUE = np.array(True)
