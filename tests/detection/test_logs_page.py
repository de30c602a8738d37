"""docs/formats/logs.md names every column that a log fills, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from detection.sessions import COLUMN_NAMES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats" / "logs.md"
# told by how they were stored, or by records that the first table names
ELSEWHERE = {"protocol", "app_proto", "community_id", "uri_decoded", "http_version", "capture", "flow_sessions"}
RANGES = {"src_ip": ["src_port", "dst_ip"], "bytes_to_*": ["bytes_to_server", "bytes_to_client"],
          "packets_to_*": ["packets_to_server", "packets_to_client"]}  # fmt: skip
FILES = {"file_magic", "file_bytes", "file_sha256"}


def test_the_page_names_every_column() -> None:
    table = PAGE.read_text().partition("## Columns")[2].partition("## File sets")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    columns = {name for name in named if "*" not in name} | {one for name in named for one in RANGES.get(name, ())}
    assert columns | ELSEWHERE | FILES == set(COLUMN_NAMES)
