"""Where verdict records go: a file, a Redis list or stream."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from appliance.inputs import is_redis, open_redis

LONGEST_STREAM = 1_000_000  # entries that a stream keeps, about


class Output(Protocol):
    def write(self, records: Sequence[bytes], pipe: Any) -> None:
        """Put records out, or add the commands that do to a Redis pipeline."""

    def state(self) -> dict[str, Any]: ...


class FileOutput:
    """A file that grows. After a crash it is cut back to what was settled."""

    def __init__(self, path: Path, state: dict[str, Any] | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        settled = (state or {}).get("size")
        if settled is not None and os.fstat(self._file.fileno()).st_size > settled:
            os.ftruncate(self._file.fileno(), settled)

    def write(self, records: Sequence[bytes], pipe: Any) -> None:
        if records:
            self._file.write(b"\n".join(records) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def state(self) -> dict[str, Any]:
        return {"size": os.fstat(self._file.fileno()).st_size}


class RedisOutput:
    """A list or a stream; with an input of the same Redis, answers and receipts are one transaction."""

    def __init__(self, client: Any, kind: str, key: str) -> None:
        self.client, self._kind, self._key = client, kind, key

    def write(self, records: Sequence[bytes], pipe: Any) -> None:
        if not records:
            return
        if self._kind == "list":
            pipe.rpush(self._key, *records)
            return
        for record in records:
            pipe.xadd(self._key, {"eve": record}, maxlen=LONGEST_STREAM, approximate=True)

    def state(self) -> dict[str, Any]:
        return {}


def open_output(where: str, state: dict[str, Any] | None) -> FileOutput | RedisOutput:
    if not is_redis(where):
        return FileOutput(Path(where), state)
    client, kind, key, _words = open_redis(where)
    return RedisOutput(client, kind, key)
