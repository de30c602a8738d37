"""Scoring at the customer: one bundle in force, one parsed EVE record in, one verdict out.

A TLS session is judged when its flow has ended: its flow record goes in with it. Silent models stay off while
answering; the caller runs them afterwards or on a sample.
"""

from __future__ import annotations

import hashlib
from itertools import compress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from appliance.records import model_row
from detection.contract import METADATA_PREFIX, Contract
from detection.rules import RuleMapping
from detection.scoring import open_session, parse_metadata
from detection.sessions import Row
from detection.single_rows import BoundRows, RowWriter, open_answers


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


class Full(NamedTuple):
    """The answer with every model run, and which of them were at their threshold or above."""

    verdict: Verdict
    above: tuple[bool, ...]


class BundleScorer:
    """A bundle, checked against its digest and ready to answer."""

    def __init__(self, onnx_bytes: bytes, digest: str) -> None:
        found = hashlib.sha256(onnx_bytes).hexdigest()
        if found != digest:
            raise WrongBundle(f"the bundle has the digest {found[:12]}, announced was {digest[:12]}")
        session = open_session(onnx_bytes, single_rows=True)
        properties = session.get_modelmeta().custom_metadata_map
        if f"{METADATA_PREFIX}models" not in properties:
            raise WrongBundle("the file is an ONNX model but no bundle")
        self._session = session
        self.digest = digest
        self.metadata = parse_metadata(properties)
        self.bundle: str = self.metadata["bundle"]
        self.contract = Contract.from_json(properties[f"{METADATA_PREFIX}contract"])
        self.detectors = tuple(detector["registry_name"] for detector in self.metadata["detectors"])
        self.rules = {
            detector["registry_name"]: RuleMapping.from_dict(detector["rule_mapping"])
            for detector in self.metadata["detectors"]
        }
        self.models = tuple(f"{model['registry_name']}:{model['version']}" for model in self.metadata["models"])
        self.silent = tuple(bool(model["is_silent"]) for model in self.metadata["models"])
        self.protocol = self.contract.name
        self._lock = Lock()  # the arrays of answers are this scorer's, and a web process has threads
        writer = RowWriter(self.contract)
        self._plain = _Answers(open_answers(onnx_bytes, "verdict", "scores"), writer, self, run_silent=False)
        self._full = _Answers(session, writer, self, run_silent=True)

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
        with self._lock:
            return (self._full if run_silent else self._plain).about(row)

    def score_fully(self, record: dict[str, Any], flow: dict[str, Any] | None = None) -> Full:
        """Return what every model says about a record, the silent ones too: for counts, after the answer is out."""
        row = model_row(record, flow)
        with self._lock:
            return Full(self._full.about(row), tuple(self._full.above.tolist()[0]))

    def features(self, row: Row) -> tuple[float, ...]:
        """Return the numbers that the trees read of a session; none where the bundle is of the time before it told."""
        if "features" not in {output.name for output in self._session.get_outputs()}:
            return ()
        return tuple(self._session.run(["features"], RowWriter(self.contract).feed(row))[0][0].tolist())

    def above(self, verdict: Verdict) -> tuple[bool | None, ...]:
        """Return by model whether it was at its threshold; None for silent models: a plain answer leaves them out."""
        fired = set(verdict.detectors)
        return tuple(
            None if silent else model.rpartition(":")[0] in fired
            for model, silent in zip(self.models, self.silent, strict=True)
        )


class _Answers:
    """The answers of a session, with the arrays that they are written into."""

    def __init__(self, session: Any, writer: RowWriter, scorer: BundleScorer, *, run_silent: bool) -> None:
        self._detectors = scorer.detectors
        verdict = np.zeros((1, len(scorer.detectors)), dtype=np.bool_)
        scores = np.zeros((1, len(scorer.models)), dtype=np.float64)
        self.above = np.zeros((1, len(scorer.models)), dtype=np.bool_)
        self._fired, self._scores = verdict[0], scores[0]
        answers = {"verdict": verdict, "scores": scores} | ({"above": self.above} if run_silent else {})
        asks = run_silent and any(scorer.silent)  # else the graph has no such input
        self._run = BoundRows(session, writer, answers, {"run_silent": np.array(True)} if asks else {}).run

    def about(self, row: Row) -> Verdict:
        """Return the verdict about one session."""
        self._run(row)
        fired = self._fired.tolist()
        names = tuple(compress(self._detectors, fired)) if True in fired else ()
        return Verdict(names, tuple(self._scores.tolist()))
