"""The field in tests: sites that sign their counts, and days of customers as they would be summed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accounts.models import Token
from detection.clock import Terms
from detection.envelopes import seal
from models_registry.models import Appliance, Customer, Version
from tests import factories, feeds
from triage.models import DivergenceDay, Incident, Stream, StreamDay, TelemetryDay
from triage.services import deadlines
from triage.services.telemetry import days

START = date(2026, 1, 5)  # a Monday


@dataclass
class Voice:
    """An appliance that speaks: its row, its key, its token."""

    appliance: Appliance
    key: Ed25519PrivateKey
    secret: str
    counter: int = 0

    def say(self, body: dict[str, Any], *, counter: int | None = None) -> bytes:
        self.counter = self.counter + 1 if counter is None else counter
        return seal("telemetry", self.appliance.name, self.counter, "2026-03-01T14:05:00Z", body, self.key)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}


def make_voice(customer: Customer | None = None, **site: Any) -> Voice:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    token, secret = factories.make_token(Token.Kind.APPLIANCE, factories.digest()[-12:])
    made = feeds.make_site(customer=customer or factories.make_customer(), **site)
    return Voice(feeds.make_appliance(site=made, token=token, public_key=public), key, secret)


def cells(version: Any, model_only: int, heuristic_only: int, both: int, **fields: Any) -> dict[str, Any]:
    """Return what a message says of one model."""
    told = {"neither": 1_000, "not_inspected": 0, "is_silent": False} | fields
    told |= {"model_only": model_only, "heuristic_only": heuristic_only, "both": both}
    scanned = sum(told[name] for name in ("model_only", "heuristic_only", "both", "neither", "not_inspected"))
    return {"model": str(version), "scanned": scanned} | told


def hour(at: datetime | None = None) -> str:
    """Return the hour before a moment as messages tell it."""
    return ((at or datetime.now(UTC)) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:00Z")


def window(*models: dict[str, Any], at: str = "", bundle: str = "b1", pairs: Any = ()) -> dict[str, Any]:
    return {"hour": at or hour(), "bundle": bundle, "protocol": "http", "models": list(models), "pairs": list(pairs)}


def make_day(customer: Customer, version: Version, day: date, x: int, n: int, missed: int = 1, **fields: Any) -> Any:
    """Keep a day on which `n` were flagged by anybody: `x` by the model alone, `missed` by rules alone."""
    told = {"model_only": x, "heuristic_only": missed, "both": n - x - missed, "is_silent": False, "windows": 24}
    values = {"stepped_at": None} | told | {"scanned": 10_000} | fields
    return TelemetryDay.objects.update_or_create(customer=customer, version=version, day=day, defaults=values)[0]


def quiet(seed: int, size: int, share: float = 0.25, volume: int = 60) -> list[tuple[int, int]]:
    """Return days of a site where nothing changes, as (x, n)."""
    draw = np.random.default_rng(seed)
    n = draw.poisson(volume, size) + 2
    x = [
        int(draw.binomial(trials - 1, p))
        for trials, p in zip(n, draw.beta(150 * share, 150 - 150 * share, size), strict=True)
    ]
    return list(zip(x, n.tolist(), strict=True))


def live(customer: Customer, version: Version, counts: list[tuple[int, int]], start: date = START) -> date:
    """Keep days one after the other; return the last."""
    for number, (x, n) in enumerate(counts):
        make_day(customer, version, start + timedelta(days=number), x, n)
    return start + timedelta(days=len(counts) - 1)


def close(day: date) -> int:
    """Close all days up to this one, as the clock does the morning after."""
    return days.close_due(datetime(day.year, day.month, day.day, 7, tzinfo=UTC) + timedelta(days=1))


def make_incident(**fields: Any) -> Incident:
    """Return an open incident of a stream whose ratio went up."""
    customer = fields.pop("customer", None) or factories.make_customer()
    version = fields.pop("version", None) or factories.make_version()
    given = {"version": version, "detector": version.detector, "kind": "excess"}
    stream = Stream.objects.create(
        customer=customer, first_day=START, last_day=START, learning=28, a0=5, b0=15, phi=150, is_fitted=True, **given
    )
    values: dict[str, Any] = {"customer": customer, "stream": stream, "is_up": True, "since": START, "mu": 0.25}
    values |= {"odds_ratio": 4.5, "changed_x": 51, "changed_n": 82, "statistic": 1e4, "needed": 365.0, "policy": {}}
    values |= {"opened_day": START, "last_day": START, "deadline": deadlines.start(datetime.now(UTC), Terms())}
    made = Incident.objects.create(**given | values | fields)
    made.steps.create(state="open")
    return made


def make_stream(customer: Customer | None, version: Version, *, until: date, changed: int = 0, **fields: Any) -> Stream:
    """Return a stream of 40 days up to one, of which the last `changed` have twice the share and alarm."""
    given = {"detector": version.detector, "kind": "excess", "learning": 28, "a0": 5, "b0": 15, "phi": 150.0}
    first = until - timedelta(days=39)
    stream = Stream.objects.create(
        customer=customer, version=version, first_day=first, last_day=until, is_fitted=True, **given | fields
    )
    rows = [
        StreamDay(
            stream=stream, day=first + timedelta(days=at), learned=at + 1, x=30 if at >= 40 - changed else 15, n=60,
            is_learning=at < 28, is_tested=at >= 28, a0=5, b0=15, phi=150.0, mu=0.25, ref_x=300, ref_n=1200,
            statistic=1000.0 * changed + 0.5 if at >= 40 - changed else 0.5, is_alarm=at >= 40 - changed,
            odds_ratio=3.0, changed_x=30 * changed, changed_n=60 * changed,
            since=until - timedelta(days=changed - 1) if at >= 40 - changed else None,
        )
        for at in range(40)
    ]  # fmt: skip
    StreamDay.objects.bulk_create(rows)
    return stream


def make_divergence_day(version: Version, day: date) -> DivergenceDay:
    return DivergenceDay.objects.create(
        detector=version.detector, day=day, policy={}, per_week=1.0, fleet_streams=1, needed=365.0, streams=3, tested=2
    )
