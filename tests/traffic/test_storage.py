"""The store: whole files or none, inside the root only."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from traffic import storage


def test_bytes_come_back_with_their_digest() -> None:
    assert storage.put_bytes("a/b/c.bin", b"content") == hashlib.sha256(b"content").hexdigest()
    assert storage.get_bytes("a/b/c.bin") == b"content"
    assert storage.exists("a/b/c.bin")
    assert storage.local_path("a/b/c.bin").read_bytes() == b"content"
    assert storage.url("a/b/c.bin").startswith("file:///")
    storage.delete("a/b/c.bin")
    storage.delete("a/b/c.bin")
    assert not storage.exists("a/b/c.bin")


def test_tables_come_back_by_column() -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    storage.put_table("t.parquet", table, compression="zstd")
    assert storage.get_table("t.parquet").equals(table)
    assert storage.get_table("t.parquet", ["b"]).column_names == ["b"]


def test_a_file_that_was_not_written_to_its_end_is_not_there() -> None:
    storage.put_bytes("kept.bin", b"old")
    with pytest.raises(RuntimeError), storage.writing("kept.bin") as file:
        file.write(b"half of the new")
        raise RuntimeError
    assert storage.get_bytes("kept.bin") == b"old"
    assert [path.name for path in storage.local_path("kept.bin").parent.iterdir()] == ["kept.bin"]


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_paths_outside_the_store_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no path inside"):
        storage.put_bytes(path, b"")
    with pytest.raises(ValueError, match="no path inside"):
        storage.get_bytes(path)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError):
        storage.get_bytes("nowhere.bin")
