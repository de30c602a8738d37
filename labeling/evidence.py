"""What a labelling page shows of an item, read from the item's own record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.utils.safestring import SafeString

from detection.contract import CONTRACTS, encode
from detection.derived import Code
from detection.explain import Contribution, Explanation
from detection.scoring import probability
from detection.sessions import FLOW, OUTSIDE_SID
from detection.thresholds import raw_threshold
from labeling.models import Item, ItemHost
from labeling.services.records import from_json, moment
from labeling.services.verdicts import verdict_of
from labeling.wire import Mark, characters, hex_dump, marked, visible
from models_registry.models import Version
from models_registry.services import indicators, versions
from traffic.models import OutsideHit

TOP_HOSTS = 8
OUTSIDE_HITS = 50  # of other systems, on one session
STRONGEST = 12  # contributions shown before "all of them"
MOST_MARKED = 0.5  # of a text; more than that would only colour it


@dataclass(frozen=True, slots=True)
class Header:
    name: str
    value: str


@dataclass(frozen=True)
class Evidence:
    """One session as a person reads it."""

    item: Item

    @cached_property
    def row(self) -> Mapping[str, Any]:
        row: Mapping[str, Any] = from_json(self.item.record.row)
        return row

    @cached_property
    def _http(self) -> Mapping[str, Any]:
        """The http object of the raw record; empty when the record is not what a sensor would write."""
        try:
            record = from_json(self.item.record.raw)
        except ValueError:
            return {}
        http = record.get("http") if isinstance(record, dict) else None
        return http if isinstance(http, dict) else {}

    @cached_property
    def request_headers(self) -> list[Header]:
        return _headers(self._http.get("request_headers"))

    @cached_property
    def response_headers(self) -> list[Header]:
        return _headers(self._http.get("response_headers"))

    @property
    def request_body(self) -> str:
        return str(self._http.get("http_request_body_printable") or "")

    @property
    def response_body(self) -> str:
        return str(self._http.get("http_response_body_printable") or "")

    @property
    def start(self) -> datetime:
        return moment(self.row["start"])

    @property
    def flow_duration(self) -> timedelta | None:
        first, last = self.row["flow_start"], self.row["flow_end"]
        return moment(last) - moment(first) if first is not None and last is not None else None

    @property
    def is_tls(self) -> bool:
        return bool(self.row["protocol"] == "tls")

    @cached_property
    def certificate(self) -> Certificate | None:
        """The server's certificate; None where none was seen (TLS 1.3 hides it, a resumed session shows none)."""
        found = Certificate(self.row, self.start)
        return found if any(self.row[name] is not None for name in _CERTIFICATE) else None

    @property
    def traffic(self) -> tuple[Direction, Direction] | None:
        """What went to the server and what came back; None while the flow's end is not known."""
        row = self.row
        if row["bytes_to_server"] is None or row["bytes_to_client"] is None:
            return None
        return tuple(Direction(row[f"bytes_to_{end}"], row[f"packets_to_{end}"]) for end in ("server", "client"))  # type: ignore[return-value]

    @cached_property
    def uri_hex(self) -> str:
        return hex_dump(self.row["uri"] or "")

    @property
    def was_encoded(self) -> bool:
        return bool(self.row["uri"] != self.row["uri_decoded"])

    @cached_property
    def texts(self) -> dict[str, SafeString]:
        """The texts a model reads, without marks."""
        return {text.name: visible(self.row[text.column]) for text in _texts(self.item.version)}

    @cached_property
    def hits(self) -> list[dict[str, Any]]:
        return [hit | {"on_flow": hit["scope"] == FLOW} for hit in self.row["hits"] or () if hit["sid"] != OUTSIDE_SID]

    @cached_property
    def outside_hits(self) -> list[OutsideHit]:
        """What other expert systems said about this session."""
        return list(OutsideHit.objects.of_session(self.item.subject_key)[:OUTSIDE_HITS])

    @cached_property
    def indicators(self) -> list[indicators.Told]:
        """What the lists in force say about this session; nothing where a list cannot be read."""
        try:
            return indicators.of_row(self.row)
        except OSError:
            return []

    @cached_property
    def scores(self) -> list[Bar]:
        return [Bar.of(verdict) for verdict in from_json(self.item.record.scores)]

    @property
    def score(self) -> Bar | None:
        """The verdict that brought the item here."""
        return next((bar for bar in self.scores if bar.version == self.item.version.number), None)

    @cached_property
    def examples(self) -> list[dict[str, Any]]:
        return [example | {"at": moment(example["start"])} for example in from_json(self.item.record.examples)]

    @cached_property
    def hosts(self) -> list[ItemHost]:
        return list(self.item.group_hosts.order_by("-sessions", "host")[:TOP_HOSTS])


_CERTIFICATE = ("cert_subject", "cert_issuer", "cert_serial", "cert_sha1", "cert_not_before", "cert_not_after")


@dataclass(frozen=True, slots=True)
class Certificate:
    """When a certificate held, beside the session that showed it."""

    row: Mapping[str, Any]
    seen: datetime

    @property
    def begins(self) -> datetime | None:
        return moment_or_none(self.row["cert_not_before"])

    @property
    def ends(self) -> datetime | None:
        return moment_or_none(self.row["cert_not_after"])

    @property
    def days(self) -> int | None:
        """How long it holds in all."""
        return (self.ends - self.begins).days if self.begins and self.ends else None

    @property
    def age(self) -> int | None:
        """Days from its begin to the session."""
        return (self.seen - self.begins).days if self.begins else None

    @property
    def had_expired(self) -> bool:
        return self.ends is not None and self.ends < self.seen

    @property
    def had_not_begun(self) -> bool:
        return self.begins is not None and self.begins > self.seen

    @property
    def is_self_issued(self) -> bool:
        return bool(self.row["cert_subject"] and self.row["cert_subject"] == self.row["cert_issuer"])


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a flow."""

    bytes: int
    packets: int | None

    @property
    def mean(self) -> int | None:
        """Bytes of a packet."""
        return round(self.bytes / self.packets) if self.packets else None


def moment_or_none(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else moment(microseconds)


def _headers(found: Any) -> list[Header]:
    if not isinstance(found, list):
        return []
    return [Header(str(each.get("name", "")), str(each.get("value", ""))) for each in found if isinstance(each, dict)]


def _texts(version: Version) -> Any:
    return CONTRACTS[version.contract].texts


@dataclass(frozen=True, slots=True)
class Bar:
    """One version's score beside its threshold, ready to be drawn on a scale of 0 to 100."""

    version: int
    stage: str
    score: float
    threshold: float
    verdict: bool

    @classmethod
    def of(cls, verdict: Mapping[str, Any]) -> Bar:
        return cls(
            verdict["version"],
            verdict["stage"],
            verdict["score"],
            verdict["threshold"],
            verdict["verdict"],
        )

    @property
    def width(self) -> str:
        return f"{self.score * 100:.2f}"

    @property
    def mark(self) -> str:
        return f"{self.threshold * 100:.2f}"


def bars_today(item: Item, row: Mapping[str, Any]) -> list[Bar]:
    """Return what every version that is not retired says of the session, later ones than the item's included."""
    found = Version.objects.scoring().filter(detector_id=item.detector_id).select_related("detector")
    bars = []
    for version in found.order_by("number"):
        columns = {name: [value] for name, value in row.items()}
        raw = float(versions.scorer(version).raw(encode(versions.contract(version), columns))[0])
        verdict = raw >= raw_threshold(version.threshold)
        bars.append(Bar.of(verdict_of(version, raw, version.threshold, verdict)))
    return bars


@dataclass(frozen=True, slots=True)
class ContributionBar:
    """One feature's share in the raw score, ready to be drawn."""

    title: str
    value: str
    contribution: float
    width: str  # of 100
    is_marked: bool

    @property
    def toward(self) -> bool:
        return self.contribution > 0

    @property
    def size(self) -> str:
        return f"{abs(self.contribution):.2f}"


@dataclass(frozen=True)
class Why:
    """An explanation with its marks mapped to the texts on the page."""

    item: Item
    explanation: Explanation
    row: Mapping[str, Any]

    @property
    def base(self) -> float:
        return float(self.explanation.base)

    @property
    def base_score(self) -> float:
        return float(probability(self.explanation.base))

    @cached_property
    def bars(self) -> list[ContributionBar]:
        items = self._moved
        largest = max((abs(item.contribution) for item in items), default=1.0)
        return [_bar(item, largest, self._coded(item), is_marked=item.feature in self._marks) for item in items]

    def _coded(self, item: Contribution) -> str | None:
        """Return the text behind a code: the number itself says nothing."""
        code = next((one for one in CONTRACTS[self.item.version.contract].derived if one.name == item.feature), None)
        return code.coded(self.row[code.column]) if isinstance(code, Code) else None

    @property
    def _moved(self) -> list[Contribution]:
        return [item for item in self.explanation.items if item.contribution != 0]

    @property
    def strongest(self) -> list[ContributionBar]:
        return self.bars[:STRONGEST]

    @property
    def others(self) -> list[ContributionBar]:
        return self.bars[STRONGEST:]

    @property
    def texts(self) -> dict[str, SafeString]:
        """The texts a model read, marked where features point at bytes."""
        fields = {text.name: self.row[text.column] or "" for text in _texts(self.item.version)}
        return {
            name: marked(text, [mark for field, marks in self._marks.values() if field == name for mark in marks])
            for name, text in fields.items()
        }

    @cached_property
    def _marks(self) -> dict[str, tuple[str, list[Mark]]]:
        """Marks of the strongest features by name: where a feature looked at half a text, it points at nothing."""
        texts = {text.name: text for text in _texts(self.item.version)}
        found = {}
        for item in self._moved[:STRONGEST]:
            if item.field is None or item.field not in texts or not item.spans:
                continue
            value = self.row[texts[item.field].column] or ""
            spans = characters(value, texts[item.field].limit, item.spans)
            if len({place for start, end in spans for place in range(start, end)}) <= MOST_MARKED * len(value):
                found[item.feature] = item.field, [Mark(start, end, item.contribution) for start, end in spans]
        return found


def _bar(item: Contribution, largest: float, coded: str | None, *, is_marked: bool) -> ContributionBar:
    width = abs(item.contribution) / largest * 100
    value = f"{coded[:12]}…" if coded and len(coded) > 12 else coded or _figure(item.value)
    return ContributionBar(item.title, value, item.contribution, f"{width:.1f}", is_marked)


def _figure(value: float) -> str:
    if math.isnan(value):
        return "–"  # the session has no such value
    return f"{value:,.0f}" if value.is_integer() else f"{value:.3g}"


def why(item: Item) -> Why:
    """Return the exact contributions to the score that brought the item here."""
    row = from_json(item.record.row)
    return Why(item, versions.explanation(item.version, row), row)
