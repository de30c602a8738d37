"""A kit: what an appliance hands out about one verdict, so that it can be reproduced. docs/formats/kit.md describes it.

Three depths of consent: `record` is the whole EVE record, `text` what models read and no address, `vector` the
features alone. What stays behind leaves a name: an HMAC with the customer's key, so that kits about one host are told
to be. Standard library only: appliances write kits."""

from __future__ import annotations

import hmac
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

MARK = "etalon_kit"
VERSION = 1
LONGEST_VECTOR = 4096
CONSENTS = ("record", "text", "vector")
Consent = Literal["record", "text", "vector"]
_NAMES = {
    MARK,
    "made_at",
    "bundle",
    "contract",
    "consent",
    "record",
    "features",
    "said",
    "names",
    "contact",
    "note",
    "signature",
}
_READ_OF_HTTP = (
    "hostname", "url", "http_user_agent", "http_refer", "http_content_type", "http_method", "protocol", "status",
    "length",
)  # fmt: skip
_READ_OF_TLS = (
    "sni", "subject", "issuerdn", "subjectaltname", "notbefore", "notafter", "version", "ja3", "ja3s", "ja4",
    "client_alpns", "server_alpns", "session_resumed",
)  # fmt: skip
_READ_OF_FLOW = ("start", "end", "bytes_toserver", "bytes_toclient", "pkts_toserver", "pkts_toclient")
NAMED = {"client": "address", "server": "address", "host": "host"}  # who has a name, and of which kind
_NAME = re.compile(r"[0-9a-f]{32}")


class BadKit(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The file calls itself a kit and is none; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one version said at the customer."""

    detector: str
    version: int
    score: float
    threshold: float
    is_silent: bool = False
    base: float | None = None  # None: the contributions are not told
    contributions: tuple[float, ...] = ()  # of the features, in their order; with the base they are the raw score


@dataclass(frozen=True, slots=True)
class Kit:
    """One verdict with what is needed to reproduce it."""

    bundle: str = ""  # SHA-256 of the file that said so; empty: not told
    contract: str = ""
    consent: str = "vector"
    record: dict[str, Any] | None = None
    features: tuple[float, ...] = ()
    said: tuple[Said, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)  # of `NAMED`: what did not leave in clear
    contact: str = ""
    note: str = ""
    made_at: str = ""
    told: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # the document as it came

    def score_of(self, detector: str, version: int) -> float | None:
        """Return what that version said, None where the kit does not tell."""
        found = [one for one in self.said if (one.detector, one.version) == (detector, version)]
        return found[0].score if found else None


def of_vector(values: Sequence[float]) -> Kit:
    """Return the kit of features without anything else."""
    return Kit(features=_features(list(values)))


def parse(told: dict[str, Any]) -> Kit:
    """Return what a kit's document says. Raises BadKit."""
    if told.get(MARK) != VERSION:
        raise BadKit(f"{MARK} is {told.get(MARK)!r}: this house reads {VERSION}")
    if unknown := sorted(set(told) - _NAMES):
        raise BadKit(f"unknown names: {', '.join(map(str, unknown))}"[:300])
    bundle, consent, record = told.get("bundle", ""), told.get("consent"), told.get("record")
    if not isinstance(bundle, str) or len(bundle) != 64 or set(bundle) - set("0123456789abcdef"):
        raise BadKit("bundle is no SHA-256")
    if consent not in CONSENTS:
        raise BadKit(f"consent is {consent!r}: expected one of {', '.join(CONSENTS)}")
    if record is not None and not isinstance(record, dict):
        raise BadKit("record is no EVE record")
    if (record is None) != (consent == "vector"):
        raise BadKit(f"consent is {consent} and there is {'no' if record is None else 'a'} record")
    features = _features(told.get("features", []))
    return Kit(
        bundle=bundle,
        contract=_text(told, "contract", 64),
        consent=consent,
        record=record,
        features=features,
        said=tuple(_said(one, len(features)) for one in _list(told, "said")),
        names=_names(told.get("names", {})),
        contact=_text(told, "contact", 200),
        note=_text(told, "note", 2000),
        made_at=_text(told, "made_at", 40),
        told=told,
    )


def document(kit: Kit, made_at: datetime) -> dict[str, Any]:
    """Return the document of a kit, unsigned: detection.kit_seals signs it."""
    return {
        MARK: VERSION,
        "made_at": made_at.isoformat(),
        "bundle": kit.bundle,
        "contract": kit.contract,
        "consent": kit.consent,
        "record": kit.record,
        "features": [None if math.isnan(value) else value for value in kit.features],
        "said": [
            {"detector": s.detector, "version": s.version, "score": s.score, "threshold": s.threshold}
            | {"is_silent": s.is_silent}
            | {"contributions": None if s.base is None else {"base": s.base, "features": list(s.contributions)}}
            for s in kit.said
        ],
        "names": dict(kit.names),
        "contact": kit.contact,
        "note": kit.note,
        "signature": None,
    }


def to_bytes(told: dict[str, Any]) -> bytes:
    """Return a document as it is written and, without `signature`, signed: sorted names, no spaces, UTF-8."""
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def reduced(record: dict[str, Any], consent: Consent) -> dict[str, Any] | None:
    """Return as much of an EVE record as the customer agreed to hand out."""
    if consent == "record":
        return record
    if consent == "vector":
        return None
    kept: dict[str, Any] = {name: record[name] for name in ("timestamp", "event_type", "dest_port") if name in record}
    if isinstance(http := record.get("http"), dict):
        kept["http"] = {name: http[name] for name in _READ_OF_HTTP if name in http}
    if isinstance(tls := record.get("tls"), dict):
        kept["tls"] = {name: tls[name] for name in _READ_OF_TLS if name in tls}
    if isinstance(flow := record.get("flow"), dict):
        kept["flow"] = {name: flow[name] for name in _READ_OF_FLOW if name in flow}
    return kept


def hidden_names(record: dict[str, Any], consent: Consent, key: bytes) -> dict[str, str]:
    """Return names for those of `NAMED` that a kit of this consent does not tell in clear.

    What leaves in clear gets no name: beside it, it would tell what the names in other kits stand for."""
    http, tls = record.get("http"), record.get("tls")
    host = http.get("hostname") if isinstance(http, dict) else tls.get("sni") if isinstance(tls, dict) else None
    values = {"client": record.get("src_ip"), "server": record.get("dest_ip"), "host": host}
    hidden: Mapping[str, tuple[str, ...]] = {"record": (), "text": ("client", "server"), "vector": tuple(NAMED)}
    return {
        who: name_of(NAMED[who], value, key)
        for who in hidden[consent]
        if isinstance(value := values[who], str) and value
    }


def name_of(kind: str, value: str, key: bytes) -> str:
    """Return what stands for an address or a host: half of an HMAC-SHA256; upper and lower case are one host."""
    said = f"{kind}:{value.strip().rstrip('.').lower()}"
    return hmac.digest(key, said.encode("utf-8", "surrogatepass"), "sha256")[:16].hex()


def _features(told: Any) -> tuple[float, ...]:
    if not isinstance(told, list) or len(told) > LONGEST_VECTOR:
        raise BadKit(f"features: expected a list of at most {LONGEST_VECTOR} numbers")
    values = []
    for one in told:
        if one is None:
            values.append(math.nan)
        elif _is_number(one):
            values.append(float(one))
        else:
            raise BadKit(f"features: {str(one)[:40]!r} is no number that a model can read")
    return tuple(values)


def _said(told: Any, features: int) -> Said:
    base, contributions = _contributions(told.get("contributions") if isinstance(told, dict) else None, features)
    try:
        found = Said(
            str(told["detector"])[:64],
            int(told["version"]),
            float(told["score"]),
            float(told["threshold"]),
            told.get("is_silent") is True,
            base,
            contributions,
        )
    except (TypeError, KeyError, ValueError, OverflowError):
        raise BadKit("said: expected detector, version, score and threshold") from None
    if not 0 <= found.score <= 1 or not 0 <= found.threshold <= 1:
        raise BadKit("said: a score and a threshold lie between 0 and 1")
    return found


def _contributions(told: Any, features: int) -> tuple[float | None, tuple[float, ...]]:
    """Return base and contributions, one for each feature."""
    if told is None:
        return None, ()
    values = [told.get("base"), *_list(told, "features", LONGEST_VECTOR)] if isinstance(told, dict) else []
    if len(values) != features + 1 or not all(_is_number(value) for value in values):
        raise BadKit("contributions: expected a base and one number for each feature")
    return float(values[0]), tuple(map(float, values[1:]))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 3.5e38


def _names(told: Any) -> dict[str, str]:
    if not isinstance(told, dict) or set(told) - set(NAMED):
        raise BadKit(f"names: expected some of {', '.join(NAMED)}")
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in told.values()):
        raise BadKit("names: expected 32 hexadecimal digits each")
    return dict(told)


def _list(told: dict[str, Any], name: str, most: int = 100) -> list[Any]:
    value = told.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise BadKit(f"{name}: expected a list of at most {most}")
    return value


def _text(told: dict[str, Any], name: str, longest: int) -> str:
    value = told.get(name) or ""
    if not isinstance(value, str) or len(value) > longest:
        raise BadKit(f"{name}: expected a text of at most {longest} characters")
    return value
