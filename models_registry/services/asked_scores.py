"""Models as a service: what any registered version or bundle says of sessions that somebody asks about.

The code is the pipeline's and the appliance's: nothing is encoded, scored or compared here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from appliance.scorer import BundleScorer, WrongBundle
from detection.contract import Contract, encode
from detection.scoring import Scorer, probability
from detection.sessions import COLUMNS, Kind, Row
from detection.sources.suricata import session_row
from detection.sources.values import BadRecordError, decode_uri
from detection.thresholds import raw_threshold
from models_registry.models import Bundle, Version
from models_registry.services import versions
from traffic import storage

MOST = 1000  # sessions of one request
LONGEST = 100_000  # characters of a text
LARGEST = (1 << 63) - 1
KINDS = {column.name: column.kind for column in COLUMNS if column.kind is not Kind.HITS}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"([-a-zA-Z0-9_]{1,64}):([0-9]{1,9})")


class NotKnown(LookupError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """No version or bundle of that name or digest."""


class NotThere(RuntimeError):  # noqa: N818
    """The registry knows the model, and its file is gone or is not what it was."""


class WrongSession(ValueError):  # noqa: N818
    """A session cannot be scored: which one, which field, and what was expected."""

    def __init__(self, index: int, field: str, expected: str) -> None:
        self.index, self.field, self.expected = index, field, expected
        super().__init__(f"{index}: {field}: {expected}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A model that was asked for, and the columns that it reads."""

    model: Version | Bundle
    digest: str
    contract: Contract


def find(name: str = "", digest: str = "") -> Asked:
    """Return the version named detector:number, or the version or bundle of a digest. Raises NotKnown, NotThere."""
    model = _by_digest(digest) if digest else _by_name(name)
    if model is None:
        raise NotKnown(digest or name)
    if isinstance(model, Version):
        return Asked(model, model.onnx_digest, _scorer(model).contract)
    return Asked(model, model.digest, _bundle_scorer(model).contract)


def read_columns(asked: Asked, sessions: Sequence[Any]) -> list[Row]:
    """Return sessions given as columns; a column that is left out is missing. Raises WrongSession."""
    return [_row(asked.contract, index, session) for index, session in enumerate(sessions)]


def read_records(asked: Asked, records: Sequence[Any]) -> list[Row]:
    """Return sessions given as a sensor writes them (Suricata's EVE). Raises WrongSession."""
    rows: list[Row] = []
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise WrongSession(index, "", "expected an EVE record, an object")
        try:
            row = session_row(record)
        except BadRecordError as error:
            raise WrongSession(index, "", str(error)) from None
        if row["protocol"] != asked.contract.name:
            expected = f"the model reads {asked.contract.name} sessions, this one is {row['protocol']}"
            raise WrongSession(index, "event_type", expected)
        rows.append(row)
    return rows


def score(asked: Asked, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return what the model says of each session, in their order."""
    if isinstance(asked.model, Version):
        return _by_version(asked.model, rows)
    return _by_bundle(asked.model, rows)


def _by_version(version: Version, rows: Sequence[Row]) -> list[dict[str, Any]]:
    scorer = _scorer(version)
    columns = {name: [row.get(name) for row in rows] for name in scorer.contract.reads}
    raw = scorer.raw(encode(scorer.contract, columns))
    positive = raw >= raw_threshold(version.threshold)
    told = zip(probability(raw).tolist(), raw.tolist(), positive.tolist(), strict=True)
    return [{"score": score, "raw": sum_, "verdict": verdict} for score, sum_, verdict in told]


def _by_bundle(bundle: Bundle, rows: Sequence[Row]) -> list[dict[str, Any]]:
    scorer = _bundle_scorer(bundle)
    names = [f"{model['registry_name']}:{model['version']}" for model in scorer.metadata["models"]]
    results = []
    for row in rows:
        complete = {name: row.get(name) for name in scorer.contract.reads}
        verdict = scorer.score_row(complete, run_silent=True)
        results.append(
            {
                "verdicts": {detector: detector in verdict.detectors for detector in scorer.detectors},
                "scores": dict(zip(names, verdict.scores, strict=True)),
            }
        )
    return results


def _by_name(name: str) -> Version | None:
    if (parts := _NAME.fullmatch(name)) is None:
        return None
    found = Version.objects.select_related("detector").filter(detector__name=parts[1], number=int(parts[2]))
    return found.first()


def _by_digest(digest: str) -> Version | Bundle | None:
    if not _DIGEST.fullmatch(digest):
        return None
    found = Version.objects.select_related("detector").filter(onnx_digest=digest).order_by("-id").first()
    return found or Bundle.objects.filter(digest=digest).first()


def _scorer(version: Version) -> Scorer:
    """Return the pipeline's scorer of a version; its file is compared with its digest once per process."""
    try:
        _checked(version.onnx_path, version.onnx_digest)
        return versions.scorer(version)
    except OSError as error:
        raise NotThere(f"{version}: {version.onnx_path} is gone") from error


@lru_cache(maxsize=64)
def _checked(path: str, digest: str) -> None:
    if hashlib.sha256(storage.get_bytes(path)).hexdigest() != digest:
        raise NotThere(f"{path} has changed since it was registered")


def _bundle_scorer(bundle: Bundle) -> BundleScorer:
    try:
        return _loaded(bundle.path, bundle.digest)
    except (OSError, WrongBundle) as error:
        raise NotThere(f"bundle {bundle}: its file is gone or has changed") from error


@lru_cache(maxsize=16)
def _loaded(path: str, digest: str) -> BundleScorer:
    return BundleScorer(storage.get_bytes(path), digest)


def _row(contract: Contract, index: int, session: Any) -> Row:
    if not isinstance(session, Mapping):
        raise WrongSession(index, "", "expected a session, an object of columns")
    row: dict[str, Any] = {}
    for name, value in session.items():
        if name not in KINDS:
            raise WrongSession(index, str(name), f"unknown column; this model reads: {', '.join(contract.reads)}")
        row[name] = _value(index, name, value)
    if row.get("uri_decoded") is None and row.get("uri") is not None:
        row["uri_decoded"] = decode_uri(row["uri"])  # as every reader of sessions does
    if row.get("protocol", contract.name) not in (contract.name, None):
        raise WrongSession(index, "protocol", f"the model reads {contract.name} sessions")
    return row


def _value(index: int, name: str, value: Any) -> Any:
    if value is None:
        return None
    if KINDS[name] is Kind.TEXT:
        if not isinstance(value, str) or len(value) > LONGEST:
            raise WrongSession(index, name, f"expected a text of at most {LONGEST:,} characters, or null")
        return value
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
        unit = " of microseconds since 1970" if KINDS[name] is Kind.TIME else ""
        raise WrongSession(index, name, f"expected a whole number{unit}, or null")
    return value
