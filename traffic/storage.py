"""Files of the store: segments, raw lines, quarantine. Relative paths under `ETALON_STORAGE`; writes are atomic."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from django.conf import settings

if TYPE_CHECKING:
    import pyarrow.dataset as ds


@lru_cache(maxsize=8)
def _open_root(root: str) -> tuple[pafs.FileSystem, str]:
    if root.startswith("file://"):
        Path(root.removeprefix("file://")).mkdir(parents=True, exist_ok=True)
    filesystem, base = pafs.FileSystem.from_uri(root)
    return filesystem, base.rstrip("/")


def _locate(path: str) -> tuple[pafs.FileSystem, str]:
    """Return file system and full path; a path that leaves the root is refused."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{path!r} is no path inside the store")
    filesystem, base = _open_root(settings.ETALON_STORAGE)
    return filesystem, f"{base}/{parts}"


def put_bytes(path: str, data: bytes | memoryview | pa.Buffer) -> str:
    """Store data under path, whole or not at all; return its SHA-256."""
    view = memoryview(data)
    with writing(path) as file:
        file.write(view)
    return hashlib.sha256(view).hexdigest()


@contextmanager
def writing(path: str) -> Iterator[BinaryIO]:
    """Open a file of the store for writing; it appears when the block ends well, and not at all otherwise."""
    filesystem, full = _locate(path)
    if isinstance(filesystem, pafs.LocalFileSystem):
        with _writing_locally(Path(full)) as file:
            yield file
    else:  # an object appears when its upload is complete
        with filesystem.open_output_stream(full) as stream:
            yield stream


@contextmanager
def _writing_locally(target: Path) -> Iterator[BinaryIO]:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a row in the database will say that this file is there
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def get_bytes(path: str) -> bytes:
    with open_input(path) as file:
        return bytes(file.read())


def put_table(path: str, table: pa.Table, **options: Any) -> str:
    """Store a table as Parquet; return the SHA-256 of the file."""
    with writing_table(path, table.schema, **options) as writer:
        writer.write(table)
    return writer.digest


class TableWriter:
    """A Parquet file that is written piece by piece. Its digest is complete when the file is."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, row_group_size: int | None, **options: Any) -> None:
        self._file = _HashedFile(file)
        self._row_group_size = row_group_size
        self._parquet = pq.ParquetWriter(self._file, schema, **options)

    def write(self, table: pa.Table) -> None:
        """Write rows as row groups of their own."""
        self._parquet.write_table(table, self._row_group_size)

    def close(self) -> None:
        self._parquet.close()

    @property
    def digest(self) -> str:
        return self._file.hash.hexdigest()


class _HashedFile(io.RawIOBase):
    """Passes on what is written, and hashes it on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self.hash = hashlib.sha256()
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return self._file.write(data)


@contextmanager
def writing_table(
    path: str, schema: pa.Schema, *, row_group_size: int | None = None, **options: Any
) -> Iterator[TableWriter]:
    """Open a table of the store for writing, piece by piece; like `writing` it appears whole or not at all."""
    with writing(path) as file:
        writer = TableWriter(file, schema, row_group_size, **options)
        try:
            yield writer
        finally:  # else it would write its last bytes when it is forgotten
            writer.close()


def put_batches(path: str, schema: pa.Schema, batches: Iterable[pa.Table], *, row_group: int, **options: Any) -> str:
    """Store tables one after the other as one Parquet file of such row groups; return the SHA-256 of the file.

    Every batch but the last holds a multiple of `row_group` rows."""
    with writing_table(path, schema, row_group_size=row_group, **options) as writer:
        for batch in batches:
            writer.write(batch)
    return writer.digest


def get_table(path: str, columns: list[str] | None = None) -> pa.Table:
    with open_input(path) as file:
        return pq.read_table(file, columns=columns)


def open_input(path: str) -> pa.NativeFile:
    """Open a stored file for reading at any position; FileNotFoundError when there is none."""
    filesystem, full = _locate(path)
    return filesystem.open_input_file(full)


def exists(path: str) -> bool:
    filesystem, full = _locate(path)
    return bool(filesystem.get_file_info(full).type == pafs.FileType.File)


def sizes(paths: Sequence[str]) -> dict[str, int]:
    """Return the bytes of those of some files that exist."""
    if not paths:
        return {}
    filesystem, _ = _open_root(settings.ETALON_STORAGE)
    infos = filesystem.get_file_info([_locate(path)[1] for path in paths])
    return {path: info.size for path, info in zip(paths, infos, strict=True) if info.type == pafs.FileType.File}


def url(path: str) -> str:
    """Return the URL of a stored file, for programs that read the store themselves."""
    _locate(path)
    return f"{settings.ETALON_STORAGE.rstrip('/')}/{path}"


def local_path(path: str) -> Path:
    """Return the local path of a stored file (DuckDB reads it itself); ValueError when the store is remote."""
    filesystem, full = _locate(path)
    if not isinstance(filesystem, pafs.LocalFileSystem):
        raise ValueError(f"{url(path)} is not on this machine")
    return Path(full)


def delete(path: str) -> None:
    """Delete a stored file; deleting what is gone is no error."""
    if not path:
        return
    filesystem, full = _locate(path)
    try:
        filesystem.delete_file(full)
    except FileNotFoundError:
        return


def delete_folder(path: str) -> None:
    """Delete a folder of the store with all in it; deleting what is gone is no error."""
    filesystem, full = _locate(path)
    try:
        filesystem.delete_dir(full)
    except FileNotFoundError:
        return


def dataset(paths: Sequence[str]) -> ds.Dataset:
    """Return stored Parquet files of one schema as a dataset, for questions to DuckDB; works on any store."""
    import pyarrow.dataset as ds  # brings pandas: 90 MB and half a second of every process that asks no such question

    filesystem, _ = _open_root(settings.ETALON_STORAGE)
    return ds.dataset([_locate(path)[1] for path in paths], filesystem=filesystem, format="parquet")
