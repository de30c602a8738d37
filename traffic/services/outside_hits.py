"""Rule verdicts of other expert systems: kept as hits of theirs, once each, whether the session is here yet or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.models import Token
from detection.sessions import session_key
from traffic.models import OutsideHit

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Told:
    """One rule of the system, on one session."""

    sensor: str
    flow_id: int
    tx_id: int | None
    start: int  # microseconds since 1970 UTC
    rule_id: str
    rule_name: str
    at: datetime

    @property
    def key(self) -> tuple[str, str]:
        row = {"flow_id": self.flow_id, "tx_id": self.tx_id, "start": self.start}
        return session_key(self.sensor, row), self.rule_id


def receive(verdicts: Sequence[Told], token: Token) -> list[bool]:
    """Keep what a system told; say of each whether it is new. Telling again changes nothing."""
    known = _known(verdicts, token)
    fresh: dict[tuple[str, str], Told] = {}
    new = []
    for told in verdicts:
        new.append(told.key not in known and told.key not in fresh)
        if new[-1]:
            fresh[told.key] = told
    OutsideHit.objects.bulk_create(
        [_hit(told, token) for told in fresh.values()], batch_size=500, ignore_conflicts=True
    )
    return new


def _known(verdicts: Sequence[Told], token: Token) -> set[tuple[str, str]]:
    keys = {told.key[0] for told in verdicts}
    hits = OutsideHit.objects.filter(system=token.name, session_key__in=keys)
    return set(hits.values_list("session_key", "rule_id"))


def _hit(told: Told, token: Token) -> OutsideHit:
    return OutsideHit(
        system=token.name,
        session_key=told.key[0],
        sensor=told.sensor,
        flow_id=told.flow_id,
        tx_id=told.tx_id,
        start=told.start,
        rule_id=told.rule_id,
        rule_name=told.rule_name,
        at=told.at,
        token=token,
    )


def microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
