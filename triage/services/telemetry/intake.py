"""Counts as appliances send them, by network or by stick: checked, kept as they came, each hour counted once.

A message may come late, twice, or after a newer one: of each hour the message with the highest counter counts, so
neither order nor repetition changes anything (docs/formats/telemetry.md)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from detection.adaptive import POLICY
from detection.envelopes import Envelope, EnvelopeRefused, canonical
from models_registry.models import Appliance, Bundle, Version
from models_registry.services import appliances
from triage.models import TelemetryWindow

KIND = "telemetry"
LARGEST_MESSAGE = 256 * 1024  # bytes: an hour of 30 models and their pairs
LARGEST_FILE = 64 * 2**20
EARLY = timedelta(hours=1)  # clocks of sites may be so far ahead
LATE = timedelta(days=92)  # an appliance keeps 90 days
MOST_MODELS, MOST_PAIRS = 64, 64 * 63 // 2
KEPT = LATE + timedelta(days=8)  # messages; what is told of their days stays
LARGEST_COUNT = 10**12
CELLS = ("both", "model_only", "heuristic_only", "neither", "not_inspected")
PAIR_CELLS = ("both", "only_a", "only_b", "neither")
_BODY = {"hour", "bundle", "protocol", "models", "pairs"}
_MODEL = {"model", "is_silent", "scanned", *CELLS}
_MAY = {"scores"}  # of a model: appliances of the first kind do not tell them
_PAIR = {"a", "b", *PAIR_CELLS}


class TelemetryRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The counts cannot be: `field` says which, the message why."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


class Taken(StrEnum):
    """What became of a message."""

    NEW = "new"
    CORRECTED = "corrected"  # it replaced what was told of the hour before
    KNOWN = "known"  # it, or a newer one about the hour, was there


@dataclass(frozen=True, slots=True)
class Counted:
    """The body of a message, checked."""

    hour: datetime
    bundle: str
    protocol: str
    scanned: int
    models: tuple[str, ...]


def take_in(
    data: bytes, appliance: Appliance | None = None, channel: str = TelemetryWindow.Channel.NETWORK
) -> tuple[Taken, TelemetryWindow]:
    """Keep one signed message. Raises EnvelopeRefused or TelemetryRefused.

    `appliance`: whose token came with it."""
    if len(data) > LARGEST_MESSAGE:
        raise EnvelopeRefused(f"the message has {len(data):,} bytes, more than {LARGEST_MESSAGE:,}")
    sender, said = appliances.signed(data, KIND, appliance)
    counted = check(said.body, timezone.now())
    bundle = _bundle(sender, counted)
    return _keep(sender, said, counted, bundle, canonical(json.loads(data)), channel)


def _bundle(sender: Appliance, counted: Counted) -> int | None:
    """Return the bundle that counted, None for one that was not built here. Raises TelemetryRefused for its models."""
    told_before = TelemetryWindow.objects.filter(appliance=sender, bundle_told=counted.bundle, replaced_at=None)
    found = next(iter(told_before.order_by("-hour").values_list("bundle", flat=True)[:1]), None)
    if found is None:  # its first hour: bundles are many, and what they call themselves is deep inside them
        named = Bundle.objects.filter(metadata__bundle=counted.bundle)
        found = named.order_by("-id").values_list("pk", flat=True).first()
    inside = set(_names(Version.objects.filter(bundle_entries__bundle=found) if found else _versions(counted.models)))
    if others := [name for name in counted.models if name not in inside]:
        if found and not set(_names(_versions(counted.models))).isdisjoint(others):
            raise TelemetryRefused("body.models", f"{others[0]!r} is not in bundle {counted.bundle[:12]}")
        raise TelemetryRefused("body.models", f"{others[0]!r} is no version of a model that is known here")
    return found


@transaction.atomic
def _keep(
    sender: Appliance, said: Envelope, counted: Counted, bundle: int | None, message: bytes, channel: str
) -> tuple[Taken, TelemetryWindow]:
    now = timezone.now()
    mine = Appliance.objects.filter(pk=sender.pk)  # held from here on: one message of an appliance at a time
    mine.update(counter=Greatest("counter", said.counter), last_contact_at=now)
    hour = Q(bundle_told=counted.bundle, hour=counted.hour, replaced_at=None)
    found = list(TelemetryWindow.objects.filter(Q(counter=said.counter) | hour, appliance=sender).order_by())
    same = next((one for one in found if one.counter == said.counter), None)
    if same is not None:
        if zlib.decompress(bytes(same.message)) != message:
            raise EnvelopeRefused(f"message {said.counter} came before, with other counts")
        return Taken.KNOWN, same
    before = next(iter(found), None)
    is_older = before is not None and before.counter > said.counter
    if before is not None and not is_older:
        TelemetryWindow.objects.filter(pk=before.pk).update(replaced_at=now)
    made = TelemetryWindow.objects.create(
        appliance=sender,
        customer_id=sender.site.customer_id,
        hour=counted.hour,
        day=counted.hour.date(),
        bundle_told=counted.bundle,
        bundle_id=bundle,
        protocol=counted.protocol,
        scanned=counted.scanned,
        counter=said.counter,
        message=zlib.compress(message),
        channel=channel,
        received_at=now,
        summed_at=now if is_older else None,
        replaced_at=now if is_older else None,
    )
    return (Taken.KNOWN if is_older else Taken.CORRECTED if before else Taken.NEW), made


def discard_old(now: datetime | None = None) -> int:
    """Delete messages about days that nothing can correct any more; return how many."""
    oldest = ((now or timezone.now()) - KEPT).date()
    return TelemetryWindow.objects.filter(day__lt=oldest, summed_at__isnull=False).delete()[0]


def _versions(names: Iterable[str]) -> QuerySet[Version]:
    wanted = [name.rpartition(":") for name in names]
    return Version.objects.filter(
        detector__name__in={name for name, _colon, _number in wanted},
        number__in={int(number) for _name, _colon, number in wanted},
    )


def _names(versions: QuerySet[Version]) -> Iterable[str]:
    """Return what appliances call versions."""
    return (f"{name}:{number}" for name, number in versions.order_by().values_list("detector__name", "number"))


# --- what can be ---------------------------------------------------------------------------------------------------


def check(body: dict[str, Any], now: datetime) -> Counted:
    """Return what a body says. Raises TelemetryRefused where it cannot be."""
    _fields(body, _BODY, "body")
    hour = _hour(body["hour"], now)
    for name in ("bundle", "protocol"):
        if not isinstance(body[name], str) or not body[name].isalnum() or len(body[name]) > 64:
            raise TelemetryRefused(f"body.{name}", "expected letters and digits, at most 64")
    models, pairs = body["models"], body["pairs"]
    if not isinstance(models, list) or not 1 <= len(models) <= MOST_MODELS:
        raise TelemetryRefused("body.models", f"expected a list of 1 to {MOST_MODELS} models")
    if not isinstance(pairs, list) or len(pairs) > MOST_PAIRS:
        raise TelemetryRefused("body.pairs", f"expected a list of at most {MOST_PAIRS} pairs")
    scanned = {}
    for place, model in enumerate(models):
        name, total = _model(model, f"body.models.{place}")
        if name in scanned:
            raise TelemetryRefused(f"body.models.{place}.model", f"{name} is told twice")
        scanned[name] = total
    told = [_pair(pair, f"body.pairs.{place}", scanned) for place, pair in enumerate(pairs)]
    if len(set(told)) < len(told):
        raise TelemetryRefused("body.pairs", "a pair is told twice")
    return Counted(hour, body["bundle"], body["protocol"][:16], max(scanned.values()), tuple(scanned))


def _fields(told: Any, expected: set[str], where: str, may: Collection[str] = ()) -> None:
    if not isinstance(told, dict) or set(told) - set(may) != expected:
        raise TelemetryRefused(where, f"expected the fields {', '.join(sorted(expected))} and no others")


def _hour(told: Any, now: datetime) -> datetime:
    try:
        hour = datetime.strptime(told, "%Y-%m-%dT%H:00Z").replace(tzinfo=UTC)
    except (TypeError, ValueError):
        raise TelemetryRefused("body.hour", "expected a whole hour in UTC, as 2026-03-01T12:00Z") from None
    if hour > now + EARLY:
        raise TelemetryRefused("body.hour", f"{told} has not begun; is the clock of the site right?")
    if hour < now - LATE:
        raise TelemetryRefused("body.hour", f"{told} is more than {LATE.days} days ago")
    return hour


def _model(told: Any, where: str) -> tuple[str, int]:
    _fields(told, _MODEL, where, _MAY)
    name = told["model"]
    detector, _colon, number = name.rpartition(":") if isinstance(name, str) else ("", "", "")
    if not detector or len(name) > 100 or not (number.isascii() and number.isdecimal() and len(number) < 9):
        raise TelemetryRefused(f"{where}.model", "expected a model as name:number")
    if not isinstance(told["is_silent"], bool):
        raise TelemetryRefused(f"{where}.is_silent", "expected true or false")
    cells = [_count(told[cell], f"{where}.{cell}") for cell in CELLS]
    total = _count(told["scanned"], f"{where}.scanned")
    if sum(cells) != total:
        raise TelemetryRefused(f"{where}.scanned", f"{total} were scanned, and the cells add up to {sum(cells)}")
    _scores(told.get("scores", {}), total, f"{where}.scores")
    return name, total


def _scores(told: Any, total: int, where: str) -> None:
    """Refuse counts of scores that cannot be: bins of surprises, each of the sessions in one or in none."""
    if not isinstance(told, dict) or len(told) > POLICY.surprise_bins:
        raise TelemetryRefused(where, f"expected at most {POLICY.surprise_bins} bins with their counts")
    for name in told:
        if not (name.isascii() and name.isdecimal() and str(int(name)) == name and int(name) < POLICY.surprise_bins):
            raise TelemetryRefused(where, f"expected bins from 0 to {POLICY.surprise_bins - 1}, not {name[:20]!r}")
    if (added := sum(_count(count, f"{where}.{name}") for name, count in told.items())) > total:
        raise TelemetryRefused(where, f"{total} were scanned, and {added} have scores")


def _pair(told: Any, where: str, scanned: dict[str, int]) -> tuple[str, str]:
    _fields(told, _PAIR, where)
    a, b = told["a"], told["b"]
    if not (isinstance(a, str) and isinstance(b, str) and a != b and a in scanned and b in scanned):
        raise TelemetryRefused(where, "a and b are two of the models that this message tells of")
    total = sum(_count(told[cell], f"{where}.{cell}") for cell in PAIR_CELLS)
    if total > min(scanned[a], scanned[b]):
        raise TelemetryRefused(
            where, f"{total} sessions were seen by both, and one of them saw {min(scanned[a], scanned[b])}"
        )
    return (a, b) if a < b else (b, a)


def _count(told: Any, where: str) -> int:
    if type(told) is not int or not 0 <= told <= LARGEST_COUNT:
        raise TelemetryRefused(where, f"expected a whole number from 0 to {LARGEST_COUNT}")
    return told


# --- by stick ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Imported:
    """What became of a file."""

    new: int = 0
    corrected: int = 0
    known: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)  # of the first lines that were refused

    def add(self, taken: Taken) -> None:
        setattr(self, taken.value, getattr(self, taken.value) + 1)


MOST_PROBLEMS = 20


def import_lines(lines: Iterable[bytes], by: User | None = None) -> Imported:
    """Take in a file of `python -m appliance telemetry --out`: a message a line. A bad line spoils no other."""
    done = Imported()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            done.add(take_in(line.strip(), channel=TelemetryWindow.Channel.FILE)[0])
        except TelemetryRefused as refusal:
            done.refused += 1
            done.problems.append(f"line {number}: {refusal.field}: {refusal}")
        except EnvelopeRefused as refusal:
            done.refused += 1
            done.problems.append(f"line {number}: {refusal}")
    del done.problems[MOST_PROBLEMS:]
    audit.record(
        by,
        "telemetry.imported",
        "file",
        new=done.new,
        corrected=done.corrected,
        known=done.known,
        refused=done.refused,
    )
    return done
