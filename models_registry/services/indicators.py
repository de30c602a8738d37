"""Indicator lists: imported as files, matched with segments, shown beside sessions. What they say is never a label."""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from detection import indicators
from detection.indicators import Indicators, Kind, NoListError
from models_registry.models import IndicatorList, IndicatorListVersion, IndicatorMatch
from traffic import storage
from traffic.models import Segment
from traffic.services import segments

log = structlog.get_logger(__name__)
AT_ONCE = 200  # segments per tick: new ones come first, and old ones are matched again when lists change
SHOWN = 50  # sessions on the page of a list
_LOOKED_INTO = 200  # segments looked into for them


class ImportRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The list was not taken; the message is for whoever imports it."""


def import_list(
    name: str, kind: str, data: bytes, *, is_hint: bool = False, by: User | None = None
) -> IndicatorListVersion:
    """Keep a file as the newest version of a list; the same bytes again change nothing. Raises ImportRefused."""
    if kind not in set(Kind):
        raise ImportRefused(f"{kind!r} is no kind of list; there are: {', '.join(Kind)}")
    try:
        entries = indicators.read_list(data, Kind(kind))
    except NoListError as error:
        raise ImportRefused(str(error)) from None
    digest = hashlib.sha256(data).hexdigest()
    path = f"indicators/lists/{kind}-{digest}.jsonl.gz"
    lines = b"".join(orjson.dumps(pair, option=orjson.OPT_APPEND_NEWLINE) for pair in entries.notes.items())
    storage.put_bytes(path, gzip.compress(lines, 6, mtime=0))
    return _keep(name, kind, is_hint, digest, path, entries, by)


@transaction.atomic
def _keep(
    name: str, kind: str, is_hint: bool, digest: str, path: str, entries: Indicators, by: User | None
) -> IndicatorListVersion:
    found = IndicatorList(name=name, kind=kind, is_hint=is_hint)
    try:
        found.full_clean(exclude=["withdrawn_at"], validate_unique=False)
    except ValidationError as error:
        raise ImportRefused(" ".join(error.messages)) from None
    found, _new = IndicatorList.objects.select_for_update().get_or_create(
        name=name, defaults={"kind": kind, "is_hint": is_hint}
    )
    if (found.kind, found.is_hint) != (kind, is_hint):
        what = f"{'a hint of' if found.is_hint else 'a list of'} {found.get_kind_display()}"
        raise ImportRefused(f"{name} is {what}: give another name")
    newest = found.versions.order_by("-number").first()
    if found.withdrawn_at is not None:
        found.withdrawn_at = None
        found.save(update_fields=["withdrawn_at"])
    elif newest is not None and newest.digest == digest:
        return newest
    version = IndicatorListVersion.objects.create(
        indicator_list=found,
        number=newest.number + 1 if newest else 1,
        digest=digest,
        path=path,
        entries=len(entries.notes),
        skipped=entries.skipped,
        examples=list(entries.examples),
        imported_by=by,
    )
    audit.record(by, "indicators.imported", f"{version} {digest}")
    return version


@transaction.atomic
def withdraw(found: IndicatorList, by: User | None = None) -> bool:
    """Take a list out of force; False when it is out already. What it said about sessions is worked out anew."""
    taken = IndicatorList.objects.filter(pk=found.pk, withdrawn_at=None).update(withdrawn_at=timezone.now()) == 1
    if taken:
        audit.record(by, "indicators.withdrawn", found.name)
    return taken


def in_force(*, hints: bool) -> list[IndicatorListVersion]:
    """Return the newest version of each list that is not withdrawn: of hints, or of the others."""
    lists = IndicatorList.objects.filter(withdrawn_at=None, is_hint=hints)
    newest: dict[int, IndicatorListVersion] = {}
    for version in (
        IndicatorListVersion.objects.filter(indicator_list__in=lists)
        .select_related("indicator_list")
        .order_by("number")
    ):
        newest[version.indicator_list_id] = version
    return sorted(newest.values(), key=lambda version: version.indicator_list.name)


def entries_of(version: IndicatorListVersion) -> Indicators:
    """Return what a version holds; kept in memory."""
    return _entries(version.path, Kind(version.indicator_list.kind))


@lru_cache(maxsize=32)  # the path holds the digest: its content never changes
def _entries(path: str, kind: Kind) -> Indicators:
    lines = gzip.decompress(storage.get_bytes(path)).splitlines()
    return indicators.of_entries(kind, dict(map(orjson.loads, lines)))


# matching: a tick walks over segments whose state is not that of the lists in force


def match_waiting(limit: int = AT_ONCE) -> int:
    """Match segments with the lists in force, the newest first; return how many. A damaged one holds up nobody."""
    versions = in_force(hints=False)
    state = _state(versions)
    lists = {version.pk: entries_of(version) for version in versions}
    waiting = Segment.objects.sealed().exclude(indicator_match__state=state).order_by("-id")
    return sum(_match_or_leave(segment, state, lists) for segment in waiting[:limit])


def _state(versions: list[IndicatorListVersion]) -> str:
    told = "|".join(sorted(f"{version.pk} {version.digest}" for version in versions))
    return hashlib.sha256(told.encode()).hexdigest()


def _match_or_leave(segment: Segment, state: str, lists: Mapping[int, Indicators]) -> bool:
    try:
        _match(segment, state, lists)
    except OSError:  # gone, or not what was written
        log.exception("indicators.failed", segment=segment.pk)
        IndicatorMatch.objects.update_or_create(segment=segment, defaults={"state": state, "hits": 0, "path": ""})
        return False
    return True


def _match(segment: Segment, state: str, lists: Mapping[int, Indicators]) -> None:
    path, counts = "", Counter[int]()
    if lists:
        table = segments.read_sessions(segment, columns=["rid", *indicators.columns_of(lists.values())])
        hits = indicators.match(table, lists)
        counts.update(hits["list"].to_pylist())
        if counts:
            path = f"indicators/{state[:16]}/{segment.pk}.parquet"
            storage.put_table(path, hits)
    before = IndicatorMatch.objects.filter(segment=segment).values_list("path", flat=True).first()
    IndicatorMatch.objects.update_or_create(
        segment=segment,
        defaults={
            "state": state,
            "path": path,
            "hits": sum(counts.values()),
            "counts": {_key(pk): count for pk, count in counts.items()},
            "matched_at": timezone.now(),
        },
    )
    if before and before != path:
        storage.delete(before)


# what people see


@dataclass(frozen=True, slots=True)
class Told:
    """What one list says about one session."""

    version: IndicatorListVersion
    column: str
    entry: str
    note: str

    @property
    def is_hint(self) -> bool:
        return self.version.indicator_list.is_hint


def of_row(row: Mapping[str, Any]) -> list[Told]:
    """Return what the lists in force say about a session, hints last."""
    found = []
    for version in (*in_force(hints=False), *in_force(hints=True)):
        entries = entries_of(version)
        found += [
            Told(version, column, entry, entries.notes[entry]) for column, entry in indicators.match_row(row, entries)
        ]
    return found


@dataclass(frozen=True, slots=True)
class Hit:
    """A session that a list matches."""

    segment: Segment
    row: Mapping[str, Any]
    entry: str
    note: str

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.row["start"] / 1_000_000, tz=timezone.get_default_timezone())


def _key(pk: int) -> str:
    """Return the name of a version's sum: a bare number would be the place in a list to JSON paths."""
    return f"v{pk}"


def _with_hits(found: IndicatorList) -> QuerySet[IndicatorMatch]:
    """Return the matches of segments in which the newest version of a list has hits, newest first."""
    key = _key(found.newest.pk)
    stored = IndicatorMatch.objects.filter(hits__gt=0, segment__deleted_at=None)
    return stored.filter(**{f"counts__{key}__gt": 0}).order_by("-segment__last_at", "-segment")


def newest_hits(found: IndicatorList) -> list[Hit]:
    """Return the sessions of the newest segments that a list matches."""
    version = found.newest
    notes = entries_of(version).notes
    hits: list[Hit] = []
    for match in _with_hits(found).select_related("segment__sensor")[:_LOOKED_INTO]:
        if len(hits) >= SHOWN:
            break
        try:
            table = storage.get_table(match.path)
            table = _newest(match.segment, table.filter(pc.equal(table["list"], version.pk)), SHOWN - len(hits))
            numbers = [rid & 0xFFFFFFFF for rid in table["rid"].to_pylist()]
            rows = segments.read_rows(match.segment, numbers)
        except OSError:
            continue  # deleted meanwhile
        entries = table["indicator"].to_pylist()
        hits += [Hit(match.segment, row, entry, notes.get(entry, "")) for row, entry in zip(rows, entries, strict=True)]
    return hits


def _newest(segment: Segment, table: pa.Table, count: int) -> pa.Table:
    """Return the hits on the newest sessions: a merged segment is sorted by host."""
    starts = segments.read_sessions(segment, columns=["start"])["start"]
    places = pa.array(table["rid"].to_numpy() & 0xFFFFFFFF)
    return table.take(pc.sort_indices(starts.take(places), sort_keys=[("", "descending")])[:count])


def sessions_matched(found: IndicatorList) -> int:
    """Return how many sessions the newest version of a list matches in what is stored, by kept sums."""
    key = _key(found.newest.pk)
    return sum(counts.get(key, 0) for counts in _with_hits(found).values_list("counts", flat=True))
