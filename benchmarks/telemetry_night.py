"""A day of counts through the database: messages → days → streams → statistics → incidents.

CUSTOMERS with a site each count 10 models, two streams of each, in both databases. Every hour the clock sums what
came; the morning after it steps the day. Measured are an hour of it, the close of the day, and the weekly refit of one
of the models from 56 days; the process that works is apart from the one that fills, so that its peak is its own.

Beside the close, on a part of the streams: each by its own rows, as one would write it first; and the writing of as
many rows of periods and nothing else, which no close can be faster than."""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks._clock import took
from benchmarks._house import databases, less_is_better, peak, prepare_django, run_in

CUSTOMERS = int(os.environ.get("ETALON_BENCH_TELEMETRY_CUSTOMERS", "10000"))
MODELS, KINDS = 10, 2
PAST = 56  # days of one model, for its refit
PART = 400  # streams by themselves
NIGHT, MEGABYTES = 600.0, 1024  # seconds of a close; MB of the process: a worker's
HOUR = 60.0  # seconds of a sum: it comes every hour
MESSAGES = 500  # different ones: what customers send is drawn from them
DAY = date(2026, 3, 2)  # a Monday: its close refits


def rows() -> list[dict[str, Any]]:
    found = []
    for folder, database in databases(("shared_buffers=512MB", "max_wal_size=4GB")):
        run_in(folder, "telemetry_night", "fill", database=database)
        found += json.loads(run_in(folder, "telemetry_night", "measure", database=database))
    return found


# --- filling -------------------------------------------------------------------------------------------------------


def fill() -> None:
    """Make customers with streams that have learnt, and an hour and another of messages."""
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    versions = _versions()
    appliances = _appliances()
    yesterday = DAY - timedelta(days=1)
    _insert_streams(yesterday)
    _insert_periods(yesterday, yesterday, "TRUE")
    _insert_periods(yesterday - timedelta(days=PAST), yesterday - timedelta(days=1), f"s.version_id = {versions[0].pk}")
    messages = _messages([str(version) for version in versions])
    for hour in (8, 9):
        _window(appliances, messages, hour)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")


def _versions() -> list[Any]:
    from tests import factories

    return [factories.make_version(stage="active") for _ in range(MODELS)]


def _appliances() -> list[tuple[int, int]]:
    """Make customers, each with a site and an appliance; return the keys of appliance and customer."""
    from accounts.models import Token
    from models_registry.models import Appliance, Customer, Site

    names = [f"customer {number:05d}" for number in range(CUSTOMERS)]
    customers = Customer.objects.bulk_create([Customer(name=name) for name in names], batch_size=1_000)
    sites = Site.objects.bulk_create([Site(customer=one, name="north") for one in customers], batch_size=1_000)
    tokens = Token.objects.bulk_create(
        [Token(kind=Token.Kind.APPLIANCE, name=f"a{place}", prefix=f"{place:012d}", digest="0" * 64,
               expires_at=datetime(2030, 1, 1, tzinfo=UTC)) for place in range(CUSTOMERS)],
        batch_size=1_000,
    )  # fmt: skip
    made = Appliance.objects.bulk_create(
        [
            Appliance(site=site, name=token.name, public_key="0" * 64, channel="stable", token=token)
            for site, token in zip(sites, tokens, strict=True)
        ],
        batch_size=1_000,
    )
    return [(one.pk, site.customer_id) for one, site in zip(made, sites, strict=True)]


def _insert_streams(newest: date) -> None:
    from triage.models import Stream

    values = {
        "customer_id": "c.id", "version_id": "v.id", "detector_id": "v.detector_id", "kind": "k.kind",
        "is_silent": "FALSE", "first_day": f"'{newest - timedelta(days=PAST)}'", "last_day": f"'{newest}'",
        "learning": "28", "a0": "5.0", "b0": "15.0", "phi": "150.0", "is_fitted": "TRUE",
    }  # fmt: skip
    source = (
        "models_registry_customer c CROSS JOIN models_registry_version v"
        " CROSS JOIN (SELECT 'excess' AS kind UNION ALL SELECT 'miss') k"
    )
    _insert(Stream, values, source)


def _insert_periods(first: date, last: date, which: str) -> None:
    from triage.models import StreamDay

    values = {
        "stream_id": "s.id", "learned": "40", "x": "(s.id * 7919) % 13 + 4", "n": "40", "is_learning": "FALSE",
        "is_tested": "TRUE", "is_frozen": "FALSE", "a0": "5.0", "b0": "15.0", "phi": "150.0", "mu": "0.25",
        "statistic": "0.5", "is_alarm": "FALSE", "is_ticket": "FALSE", "is_up": "TRUE", "odds_ratio": "1.0",
        "changed_x": "10", "changed_n": "40", "ref_x": "300.0", "ref_n": "1200.0", "log_up": "-0.7", "log_down": "-0.7",
        "up_x": "10", "up_n": "40", "down_x": "10", "down_n": "40",
    }  # fmt: skip
    day = first
    while day <= last:
        dates = dict.fromkeys(("day", "since", "up_since", "down_since"), f"'{day}'")
        _insert(StreamDay, values | dates, f"triage_stream s WHERE {which}")
        day += timedelta(days=1)


def _insert(model: Any, values: dict[str, str], source: str) -> None:
    """Insert rows that the database makes itself; a date is written as both databases read it."""
    from django.db import connection

    dates = {field.column for field in model._meta.concrete_fields if field.get_internal_type() == "DateField"}
    cast = "CAST({} AS date)" if connection.vendor == "postgresql" else "{}"
    chosen = [cast.format(value) if name in dates else value for name, value in values.items()]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({', '.join(values)}) SELECT {', '.join(chosen)} FROM {source}"
        )


def _messages(names: Sequence[str]) -> list[bytes]:
    """Return messages as they are kept. Nobody asks for their signature any more: intake has."""
    luck, found = random.Random(1), []
    for _ in range(MESSAGES):
        models = []
        for name in names:
            cells = {"model_only": luck.randint(0, 3), "heuristic_only": luck.randint(0, 3), "both": luck.randint(1, 4)}
            cells |= {"neither": luck.randint(50_000, 60_000), "not_inspected": 0}
            models.append({"model": name, "is_silent": False, "scanned": sum(cells.values()), **cells})
        body = {"hour": f"{DAY}T08:00Z", "bundle": "b1", "protocol": "http", "models": models, "pairs": []}
        told = {"format": 1, "kind": "telemetry", "appliance": "a" * 21, "counter": 1, "at": "", "body": body}
        found.append(zlib.compress(json.dumps(told | {"signature": "0" * 128}).encode()))
    return found


def _window(appliances: Sequence[tuple[int, int]], messages: Sequence[bytes], hour: int) -> None:
    from triage.models import TelemetryWindow

    luck, at = random.Random(hour), datetime(DAY.year, DAY.month, DAY.day, hour, tzinfo=UTC)
    TelemetryWindow.objects.bulk_create(
        [
            TelemetryWindow(
                appliance_id=appliance, customer_id=customer, hour=at, day=DAY, bundle_told="b1", protocol="http",
                scanned=60_000, counter=hour, message=luck.choice(messages),
                summed_at=None,
            )
            for appliance, customer in appliances
        ],
        batch_size=1_000,
    )  # fmt: skip


# --- measuring -----------------------------------------------------------------------------------------------------


def measure() -> list[dict[str, Any]]:
    from django.db import connection

    from models_registry.models import Detector
    from triage.models import StreamDay, TelemetryWindow
    from triage.services.telemetry import days, fits, sums

    vendor = "SQLite" if connection.vendor == "sqlite" else "PostgreSQL"
    name = f"telemetry night, {vendor}, {CUSTOMERS:,} x {MODELS} models"
    late = TelemetryWindow.objects.filter(hour__hour=9)
    late.update(summed_at=datetime.now(UTC))  # the hour comes later
    _told(f"{vendor}: the day's first hour took", took(sums.sum_waiting).wall)
    late.update(summed_at=None)
    hour = took(sums.sum_waiting)
    _told(f"{vendor}: its second", hour.wall)
    detector = Detector.objects.order_by("pk")[0]
    refit = took(lambda: [fits.refit(detector, kind, DAY - timedelta(days=1)) for kind in days.KINDS])
    _told(f"{vendor}: a model's refit", refit.wall)
    for other in Detector.objects.exclude(pk=detector.pk):
        _spare_refit(other)
    before = peak()
    night = took(lambda: days.close_due(datetime(DAY.year, DAY.month, DAY.day, 6, 8, tzinfo=UTC) + timedelta(days=1)))
    _told(f"{vendor}: the close", night.wall)
    peaked = peak()
    streams = StreamDay.objects.filter(day=DAY, stream__customer__isnull=False).count()
    gc.collect()
    alone = _alone(PART)
    bare = _bare(streams)
    none = {"against": "-", "theirs": None, "ratio": None, "target": "", "holds": True}
    return [
        less_is_better(f"{name}, an hour of messages summed, s", hour.wall, "limit, s", HOUR),
        less_is_better(f"{name}, the day closed ({streams:,} streams), s", night.wall, "limit, s", NIGHT),
        less_is_better(f"{name}, MB of the process", peaked, f"limit, MB ({before:.0f} before the close)", MEGABYTES),
        less_is_better(f"{name}, ms a stream", 1000 * night.wall / streams, f"each by its own rows ({PART})",
                       1000 * alone / PART),
        {**none, "name": f"{name}, the day closed, s", "ours": night.wall, "against": "its rows written, nothing else",
         "theirs": bare, "ratio": bare / night.wall},
        {**none, "name": f"{name}, weekly refit of one model, s", "ours": refit.wall},
        {**none, "name": f"{name}, bytes of a period with its indexes", "ours": _bytes_of_a_period()},
    ]  # fmt: skip


def _told(what: str, seconds: float) -> None:
    print(f"{what} {seconds:.1f} s", file=sys.stderr, flush=True)


def _spare_refit(detector: Any) -> None:
    """Say that a model has its refit: it was measured on one of them."""
    from triage.models import PrecisionFit, Stream

    for kind in Stream.Kind.values:
        PrecisionFit.objects.create(
            detector=detector, kind=kind, day=DAY - timedelta(days=1), phi=150.0, streams=1, periods=1, own=0
        )


def _alone(streams: int) -> float:
    """Step streams one after the other, each from its own rows; return the seconds. Nothing of it stays."""
    import numpy as np
    from django.db import transaction

    from detection.divergence import step
    from triage.models import Stream, StreamDay, TelemetryDay
    from triage.services.telemetry import states

    began = time.perf_counter()
    with transaction.atomic():
        for stream in Stream.objects.filter(customer__isnull=False).order_by("pk")[:streams]:
            told = TelemetryDay.objects.get(customer=stream.customer_id, version=stream.version_id, day=DAY)
            x, n = states.successes_and_trials(stream.kind, told.model_only, told.heuristic_only, told.both)
            row = StreamDay.objects.filter(stream=stream, day__lt=DAY).latest("day")
            before = states.arrays([states.head(row, [], DAY)], *np.array([[row.a0, row.b0, row.phi]]).T)
            after, looks = step(before, DAY.toordinal(), [x], [n], between_false_alarms=70_000.0)
            row.pk, row.day = None, DAY + timedelta(days=1)
            row.x, row.n, row.mu, row.ref_x, row.ref_n = x, n, looks.mu[0], after.x[0], after.n[0]
            row.statistic, row.log_up, row.log_down = looks.statistic[0], after.log_up[0], after.log_down[0]
            row.save(force_insert=True)
        transaction.set_rollback(True)
    return time.perf_counter() - began


def _bare(streams: int) -> float:
    """Write the day's rows once more, copied inside the database; return the seconds. They are taken away again."""
    from django.db import connection, transaction

    from triage.models import StreamDay

    columns = [str(field.column) for field in StreamDay._meta.concrete_fields if field.column not in ("id", "day")]
    names, table = ", ".join(columns), StreamDay._meta.db_table
    began = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (day, {names}) SELECT %s, {names} FROM {table} WHERE day = %s",
            [DAY + timedelta(days=1), DAY],
        )
        spent = time.perf_counter() - began
        transaction.set_rollback(True)
    return spent


def _bytes_of_a_period() -> float:
    from django.db import connection

    from triage.models import StreamDay

    table, many = StreamDay._meta.db_table, StreamDay.objects.count()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [table])
            return float(cursor.fetchone()[0]) / many
    # SQLite tells no size of a table: the file is nearly all periods
    return Path(str(connection.settings_dict["NAME"])).stat().st_size / many


if __name__ == "__main__":
    prepare_django()
    if sys.argv[1] == "fill":
        fill()
    else:
        print(json.dumps(measure()))
