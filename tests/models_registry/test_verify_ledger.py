"""`manage.py verify_ledger`: an edited row, a changed file, a broken chain are each found and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from models_registry.models import GateReport, LedgerEntry, LedgerHead, Version
from models_registry.services import gates, ledger_check
from tests.factories import make_gate_report
from tests.models_registry.loop import keep_snapshot, make_loop, right_rows
from traffic import storage

pytestmark = pytest.mark.django_db
TABLES = ("models_registry_ledgerentry", "models_registry_gatereport", "models_registry_stagechange")


@pytest.fixture
def version(tmp_path: Path) -> Version:
    made = make_loop(tmp_path)
    keep_snapshot(made.detector, *right_rows())
    gates.run_gate(made)
    return made


@pytest.fixture
def intruder() -> Iterator[Callable[[str], None]]:
    """Somebody who may do everything with the database, also take its guards away."""

    def run(sql: str) -> None:
        with connection.cursor() as cursor:
            for table in TABLES:
                on = f" ON {table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER IF EXISTS {table}_guard{on}")
            cursor.execute(sql)

    yield run  # the triggers come back with the test's transaction


def verify() -> list[str]:
    out = StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("verify_ledger", stdout=out)
    assert refused.value.returncode == 1
    return out.getvalue().splitlines()


def test_a_whole_ledger_says_so_and_leaves_with_0(version: Version) -> None:
    out, told = StringIO(), StringIO()
    call_command("verify_ledger", "--json", stdout=out, stderr=told)
    figures = json.loads(out.getvalue())
    assert (figures["findings"], figures["files"]) == ([], 4)  # snapshot, training set, ONNX, text model
    assert figures["head"] == LedgerHead.objects.get().digest
    assert told.getvalue().startswith("whole: 8 entries")


def test_an_edited_entry_is_named(version: Version, intruder: Callable[[str], None]) -> None:
    entry = LedgerEntry.objects.get(kind="gate")
    intruder(
        f"UPDATE models_registry_ledgerentry SET body = replace(body, 'true', 'false') WHERE number = {entry.number}"
    )
    told = verify()
    assert f"entry {entry.number}: was edited: its digest is not that of its body" in told
    assert any(line.startswith(f"models_registry.gatereport:{GateReport.objects.get().pk}: passed") for line in told)


def test_an_entry_with_its_digest_mended_breaks_the_next_one(version: Version, intruder: Callable[[str], None]) -> None:
    entry = LedgerEntry.objects.get(kind="mapping")
    intruder(f"UPDATE models_registry_ledgerentry SET digest = '{'0' * 64}' WHERE number = {entry.number}")
    assert f"entry {entry.number + 1}: is not chained to the entry before it" in verify()


def test_who_did_it_cannot_be_changed_beside_the_body(version: Version, intruder: Callable[[str], None]) -> None:
    intruder("UPDATE models_registry_ledgerentry SET kind = 'gate' WHERE kind = 'mapping'")
    assert any("its column kind is not what its body says" in line for line in verify())


def test_missing_entries_are_named_in_the_middle_and_at_the_end(
    version: Version, intruder: Callable[[str], None]
) -> None:
    last = LedgerEntry.objects.first().number
    intruder(f"DELETE FROM models_registry_ledgerentry WHERE number IN (3, {last})")
    told = verify()
    assert "entry 4: follows entry 2: entries between them are missing" in told
    assert any(line.startswith(f"the newest entry: is {last - 1}") for line in told)


def test_an_edited_row_is_named_with_the_column(version: Version, intruder: Callable[[str], None]) -> None:
    report = GateReport.objects.get()
    intruder("UPDATE models_registry_gatereport SET threshold = 0.001")
    [line] = verify()
    assert line.startswith(f"models_registry.gatereport:{report.pk}: threshold is 0.001, the ledger says")


def test_a_stage_that_nobody_changed_is_named(version: Version) -> None:
    Version.objects.update(stage="active")
    [line] = verify()
    assert line.startswith(f"models_registry.version:{version.pk}: stage is 'active', the ledger says 'silent'")


def test_a_row_that_came_in_by_another_door_is_named(version: Version) -> None:
    forged = make_gate_report(version=version, passed=True)
    told = verify()
    assert f"models_registry.gatereport:{forged.pk}: is not in the ledger: it came in by another door" in told


@pytest.mark.parametrize("which", ["onnx_path", "text_path"])
def test_a_changed_file_is_named(version: Version, which: str) -> None:
    path = getattr(version, which)
    storage.put_bytes(path, storage.get_bytes(path) + b" ")
    [line] = verify()
    assert line.startswith(f"{path}: has changed: its SHA-256 is")
    assert f"models_registry.version:{version.pk}" in line
    assert ledger_check.verify(files=False).findings == []


def test_a_file_that_is_gone_is_named(version: Version) -> None:
    storage.delete(version.training_set.path)
    [line] = verify()
    assert line.startswith(f"{version.training_set.path}: is gone")
