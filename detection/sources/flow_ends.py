"""How flows ended, put into the TLS records of their sessions: kits and evidence carry both in one record.

Suricata writes sizes and times into a record of their own when a flow has ended; models of TLS sessions read them."""

from __future__ import annotations

from typing import Any

from detection.sources.suricata import flow_end, session_row
from detection.sources.values import number_of


def joined_row(record: dict[str, Any]) -> dict[str, Any]:
    """Return the session of one EVE record, with the end of its flow where the record carries it under `flow`."""
    return session_row(record) | (flow_end(record) if has_end(record) else {})


def has_end(record: dict[str, Any]) -> bool:
    """Say whether a record tells how its flow ended; one of a rule hit tells how it stood."""
    flow = record.get("flow")
    return isinstance(flow, dict) and "end" in flow


class FlowEnds:
    """The ends of flows that were met among records."""

    def __init__(self) -> None:
        self._ends: dict[int, dict[str, Any]] = {}

    def take(self, record: dict[str, Any]) -> bool:
        """Keep a record if it is the end of a flow; say whether it was."""
        number = number_of(record.get("flow_id"), 1)
        if record.get("event_type") != "flow" or number is None or not has_end(record):
            return False
        self._ends[number] = record["flow"]
        return True

    def joined(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a TLS record with the end of its flow in it, where that was met; any other as it is."""
        end = self._ends.get(number_of(record.get("flow_id"), 1) or 0)
        return record if end is None or record.get("event_type") != "tls" else record | {"flow": end}
