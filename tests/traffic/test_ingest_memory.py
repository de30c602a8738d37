"""Memory of an intake does not grow with the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.detection import eve, zeek_logs
from tests.traffic.test_ingest import ROOT, child_environment

# a child of its own, so that its peak is its own; prints kilobytes
MEASURED = """
import os, resource, sys
import django
django.setup()
from django.core.management import call_command
from traffic.models import Intake
call_command("ingest", sys.argv[1], "--json", stdout=open(os.devnull, "w"))
of_log = Intake.objects.filter(path__startswith=sys.argv[1])
print(sum(of_log.values_list("http", flat=True)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(log: Path, sessions: int) -> int:
    """Take a log in; return the most memory its process held, in kB."""
    environment = child_environment() | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, str(log)], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    stored, most = map(int, run.stdout.split())
    assert stored == sessions
    return most


def write(path: Path, sessions: int) -> Path:
    with path.open("wb") as file:
        for number in range(sessions):
            file.write(eve.line(eve.http(number, second=number // 1_000)) + b"\n")
    return path


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_log_four_times_as_long_needs_no_more_memory(tmp_path: Path) -> None:
    few, many = 300_000, 1_200_000
    short, long = write(tmp_path / "short.json", few), write(tmp_path / "long.json", many)
    first, second = peak(short, few), peak(long, many)
    assert second < 1.25 * first, f"{first:,} kB, and {second:,} kB for four times as many sessions"


def write_set(folder: Path, sessions: int) -> Path:
    folder.mkdir()
    (folder / "http.log").write_bytes(zeek_log("http", zeek_logs.http("@", 1), sessions))
    (folder / "conn.log").write_bytes(zeek_log("conn", zeek_logs.conn("@"), 2 * sessions))
    return folder


def zeek_log(kind: str, record: dict[str, Any], lines: int) -> bytes:
    head, line, end, _ = zeek_logs.text_log(kind, [record]).rsplit(b"\n", 3)
    return b"\n".join([head, *(line.replace(b"@", b"C%d" % number) for number in range(lines)), end, b""])


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_set_of_zeek_logs_four_times_as_long_needs_no_more_memory(tmp_path: Path) -> None:
    few, many = 250_000, 1_000_000
    short, long = write_set(tmp_path / "short", few), write_set(tmp_path / "long", many)
    first, second = peak(short, few), peak(long, many)
    assert second < 1.25 * first, f"{first:,} kB, and {second:,} kB for four times as many sessions"
