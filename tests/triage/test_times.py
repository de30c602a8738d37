"""Every time on a page of alarms or of the store says its zone: beside it, or at the head of its column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOMS = ("triage", "models_registry")
TEMPLATES = [path for room in ROOMS for path in sorted(Path("templates", room).glob("*.html"))]
CLOCK = re.compile(r"""\|date:["'][^"']*H:i[^"']*["']""")
ZONE = re.compile(r"{% zone %}|{{ zone }}|UTC|\|moment")
TABLE = re.compile(r"<table.*?</table>", re.DOTALL)
CELL = re.compile(r"<t[dh][ >].*?</t[dh]>", re.DOTALL)
NEAR = 120  # characters of the template


def bare(text: str) -> list[str]:
    """Return the times of a template without a zone."""
    found = []
    for table in TABLE.findall(text):
        head, _end, body = table.rpartition("</thead>")
        cells = [cell for cell in CELL.findall(body) if CLOCK.search(cell) and not ZONE.search(cell)]
        if len(cells) > len(ZONE.findall(head)):
            found += cells
    around = TABLE.sub("", text)
    for clock in CLOCK.finditer(around):
        near = around[max(clock.start() - NEAR, 0) : clock.end() + NEAR]
        if not ZONE.search(near):
            found.append(near)
    return found


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_every_time_says_its_zone(path: Path) -> None:
    assert not bare(path.read_text("utf-8")), path


def test_a_time_that_says_none_is_found() -> None:
    cell = '<td>{{ one.at|date:"Y-m-d H:i" }}</td>'
    assert bare(f"<table><thead><tr><th>When</th></tr></thead>{cell}</table>") == [cell]
    assert not bare(f"<table><thead><tr><th>When, {{% zone %}}</th></tr></thead>{cell}</table>")
    assert bare('<p>{{ one.at|date:"Y-m-d H:i" }}</p>') and not bare("<p>{{ one.at|moment }}</p>")
