"""A workshop with up to a million items, written by the database itself from a few dozen real sessions.

Most items are settled and carry two answers, as they would after a year; the newest ones are open."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection, models
from django.utils import timezone

PATTERNS = 40  # real sessions that all items are copies of
OPEN = 50_000
EXPERTS = 8
SPAN = 365 * 86_400  # seconds over which items came in
SLUG = "bench-unique"


@dataclass(frozen=True, slots=True)
class Workshop:
    items: int
    open: int
    experts: list[int]
    labels: int  # the last one


def prepare() -> None:
    """Write people, a queue and PATTERNS items of real sessions into an empty database: what every size begins with."""
    call_command("migrate", verbosity=0)
    _patterns(_people()[0])


def fill(items: int) -> Workshop:
    """Make it a queue of `items` items, OPEN of them open (four fifths of a small queue), in a prepared database."""
    from accounts.models import User

    open_items = min(OPEN, items * 4 // 5)
    experts = list(User.objects.order_by("pk").values_list("pk", flat=True)[:EXPERTS])
    _copy(items - PATTERNS, open_items, experts)
    _finish(open_items)
    return Workshop(items, open_items, experts, _last_label())


def _people() -> list[int]:
    from accounts.models import User
    from accounts.roles import Role

    people = [User(username=f"expert{number}", role=Role.EXPERT) for number in range(EXPERTS)]
    for person in people:
        person.set_unusable_password()
        person.save()
    return [person.pk for person in people]


def _patterns(first: int) -> None:
    """Take a little synthetic traffic in and make an item of some of its sessions, as routing would."""
    from detection.fingerprint import shape_of, title_of
    from detection.sessions import session_key
    from labeling.models import Item, ItemHost, ItemRecord, Label, Queue
    from labeling.services.records import moment, stored_row, to_json
    from models_registry.models import Detector, RuleMappingVersion, TrainingSet, Version
    from traffic.models import Segment
    from traffic.services import ingest, segments

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "eve.json"
        call_command("simulate", out=str(log), hours=1, sessions_per_day=20_000, verbosity=0, stdout=io.StringIO())
        ingest.ingest_paths([str(log)], "bench", None)
    segment = Segment.objects.sealed().filter(protocol="http").select_related("sensor")[0]
    rows = segments.read_rows(segment, range(PATTERNS))
    lines = segments.raw_lines(segment, list(range(PATTERNS)))
    detector = Detector.objects.create(name="bench")
    RuleMappingVersion.objects.create(detector=detector, number=1, mapping={"categories": ["Attack"]}, digest="0" * 64)
    training_set = TrainingSet.objects.create(detector=detector, number=1, digest="0" * 64, path="none", rows=1)
    version = Version.objects.create(
        detector=detector,
        number=1,
        training_set=training_set,
        contract="http-1",
        onnx_path="none",
        onnx_digest="0" * 64,
        text_path="none",
        text_digest="0" * 64,
        threshold=0.7,
        stage="silent",
    )
    queue = Queue.objects.create(detector=detector, kind=Queue.Kind.UNIQUE, slug=SLUG, labels_needed=1)
    said = {"version": 1, "stage": "silent", "score": 0.94, "raw": 2.75, "threshold": 0.7, "verdict": True}
    for number, (row, line) in enumerate(zip(rows, lines, strict=True)):
        item = Item.objects.create(
            queue=queue,
            detector=detector,
            version=version,
            subject_key=session_key("bench", row)[:150],
            cell="unique",
            shape=shape_of(row),
            fingerprint=f"{number:064x}",
            title=title_of(row)[:200],
            reason="unique-candidate",
            state="settled",
            outcome="positive",
            settled_at=timezone.now(),
            reference_checked_at=timezone.now(),
            decision={"policy": {"version": 2}, "score": 0.94, "threshold": 0.7, "rule_verdict": "clean", "round": 0},
            sensor="bench",
            source="bench",
            first_at=moment(row["start"]),
            last_at=moment(row["start"]),
        )
        examples = [stored_row(other) for other in (rows + rows)[number + 1 : number + 4]]
        ItemRecord.objects.create(
            item=item,
            row=to_json(stored_row(row)),
            raw=line.decode("utf-8", "replace"),
            examples=to_json(examples),
            scores=to_json([said]),
            rule_set="synthetic (12 rules)",
        )
        ItemHost.objects.create(item=item, host=row["src_ip"])
        Label.objects.create(
            item=item,
            detector=detector,
            subject_kind="session",
            subject_key="bench",
            expert_id=first,
            answer="positive",
        )


# copies: one statement a table


def _copy(items: int, open_items: int, experts: list[int]) -> None:
    from labeling.models import Item, ItemHost, ItemRecord, Label

    settled = items - open_items
    dialect = _POSTGRES if connection.vendor == "postgresql" else _SQLITE
    step, begin = SPAN / max(items, 1), time.time() - SPAN
    at = dialect["time"].format(seconds=f"({begin} + s.n * {step})")
    mark, is_settled = dialect["mark"], f"s.n <= {settled}"
    own = f"{PATTERNS} + s.n"
    copies: Mapping[type[models.Model], dict[str, str]] = {
        Item: {
            "id": own,
            "subject_key": "t.subject_key || '-' || s.n",
            "shape": mark.format(salt="shape"),
            "fingerprint": mark.format(salt="look"),
            "title": "t.title || '/' || s.n",
            "priority": "((s.n * 7919) % 100003) / 1000.0",
            "sessions": "s.n % 97 + 1",
            "created_at": at,
            "first_at": at,
            "last_at": at,
            "state": f"CASE WHEN {is_settled} THEN 'settled' ELSE 'open' END",
            "outcome": f"CASE WHEN {is_settled} THEN 'positive' ELSE '' END",
            "settled_at": f"CASE WHEN {is_settled} THEN {at} END",
            "reference_checked_at": f"CASE WHEN {is_settled} THEN {at} END",
        },
        ItemRecord: {"item_id": own},
        ItemHost: {"id": own, "item_id": own},
    }
    with connection.cursor() as cursor:
        _prepare(cursor)
        for model, changed in copies.items():
            _insert(cursor, model, changed, items, dialect["series"])
        people = " ".join(f"WHEN {place} THEN {pk}" for place, pk in enumerate(experts))
        for turn in range(2):
            changed = {
                "id": f"{PATTERNS + turn * settled} + s.n",
                "item_id": own,
                "subject_key": "'bench-' || s.n",
                "expert_id": f"CASE (s.n + {turn}) % {len(experts)} {people} END",
                "milliseconds": "4000 + s.n % 9000",
                "created_at": at,
            }
            _insert(cursor, Label, changed, settled, dialect["series"])


_IS_SUPERUSER = "current_setting('is_superuser') = 'on'"
_POSTGRES = {
    "time": "to_timestamp({seconds})",
    "mark": "md5('{salt}' || s.n)",
    "series": "generate_series(1::bigint, {last}) AS s(n)",
}
_SQLITE = {
    "time": "strftime('%Y-%m-%d %H:%M:%f', {seconds}, 'unixepoch')",
    "mark": "etalon_mark('{salt}' || s.n)",
    "series": "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {last}) SELECT n FROM c) AS s",
}


def _prepare(cursor: Any) -> None:
    """Marks are as scattered as real ones: what they cost an index depends on it."""
    if connection.vendor == "sqlite":
        import hashlib

        if not connection.in_atomic_block:  # a test is one transaction
            cursor.execute("PRAGMA synchronous = OFF")  # of this connection, which is closed before
            cursor.execute("PRAGMA foreign_keys = OFF")  # copies of rows that were checked
        cursor.execute("PRAGMA cache_size = -1000000")  # KiB: the indexes are filled in memory
        mark = lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # noqa: E731
        cursor.connection.create_function("etalon_mark", 1, mark, deterministic=True)
    else:
        # copies of rows that were checked; only a superuser may leave the check out
        cursor.execute("SELECT set_config('session_replication_role', 'replica', false) WHERE " + _IS_SUPERUSER)


def _insert(cursor: Any, model: type[models.Model], changed: dict[str, str], rows: int, series: str) -> None:
    """Insert copies of the first PATTERNS rows, some of their columns changed."""
    if rows <= 0:
        return
    table = model._meta.db_table
    names = [str(field.column) for field in model._meta.concrete_fields if not field.generated]
    quoted = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(changed.get(name, f't."{name}"') for name in names)
    pattern = f't."{model._meta.pk.column}" = s.n % {PATTERNS} + 1'
    cursor.execute(
        f"INSERT INTO {table} ({quoted}) SELECT {values} FROM {series.format(last=rows)} JOIN {table} t ON {pattern}"
    )


def _finish(open_items: int) -> None:
    """Leave nothing of the filling to be done while experts are measured."""
    from labeling.models import Item, ItemHost, Label, Queue

    Queue.objects.update(waiting=open_items)
    if connection.vendor == "postgresql":
        _settle_postgres((Item, ItemHost, Label))
    if not connection.in_atomic_block:  # a test is one transaction
        os.sync()


def _settle_postgres(counted: Sequence[type[models.Model]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT set_config('session_replication_role', 'origin', false) WHERE {_IS_SUPERUSER}")
        for model in counted:
            table = model._meta.db_table
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
        if not connection.in_atomic_block:
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")  # else it goes on for minutes


def _last_label() -> int:
    from labeling.models import Label

    return Label.objects.latest("pk").pk
