"""The session an item is about, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.utils.safestring import SafeString

from detection.contract import CONTRACTS
from detection.sessions import FLOW, OUTSIDE_SID
from labeling.evidence.certificate import CERTIFICATE_COLUMNS, Certificate
from labeling.evidence.verdicts import Bar
from labeling.models import Item
from labeling.services.records import from_json, moment
from labeling.wire import hex_dump, visible
from models_registry.models import Version


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
        seen = any(self.row[name] is not None for name in CERTIFICATE_COLUMNS)
        return Certificate(self.row, self.start) if seen else None

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
        return {text.name: visible(self.row[text.column]) for text in texts_of(self.item.judged)}

    @property
    def hits(self) -> list[dict[str, Any]]:
        """Hits of the sensor's rules."""
        return [hit | {"on_flow": hit["scope"] == FLOW} for hit in self.row["hits"] or () if hit["sid"] != OUTSIDE_SID]

    @property
    def copied_hits(self) -> list[dict[str, Any]]:
        """What other expert systems had said when the item was made; what they say now is in `others`."""
        return [hit for hit in self.row["hits"] or () if hit["sid"] == OUTSIDE_SID]

    @cached_property
    def scores(self) -> list[Bar]:
        return [Bar.of(verdict) for verdict in from_json(self.item.record.scores)]

    @property
    def score(self) -> Bar | None:
        """The verdict that brought the item here."""
        return next((bar for bar in self.scores if bar.version == self.item.judged.number), None)


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a flow."""

    bytes: int
    packets: int | None

    @property
    def mean(self) -> int | None:
        """Bytes of a packet."""
        return round(self.bytes / self.packets) if self.packets else None


def _headers(found: Any) -> list[Header]:
    if not isinstance(found, list):
        return []
    return [Header(str(each.get("name", "")), str(each.get("value", ""))) for each in found if isinstance(each, dict)]


def texts_of(version: Version) -> Any:
    return CONTRACTS[version.contract].texts
