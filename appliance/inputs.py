"""Where EVE lines come from: a file, a growing file, a Redis list or stream. A crash gives back what was taken.

An input hands out batches; `settle` is called when the answers of a batch are out."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

LINES = 500  # of a batch: answers of a batch go out together
BYTES = 8 * 2**20
PAUSE = 0.05  # seconds between looks at an input that has nothing new
FIELDS = (b"eve", b"message", b"event", b"data")  # of a stream's entry; else its first one

# move the oldest lines into this consumer's own list; what a crash left there comes first
_TAKE = """
local held = redis.call('LRANGE', KEYS[2], 0, -1)
if #held > 0 then return held end
local right = ARGV[2] == 'right'
for i = 1, tonumber(ARGV[1]) do
  local line
  if right then line = redis.call('RPOP', KEYS[1]) else line = redis.call('LPOP', KEYS[1]) end
  if not line then break end
  redis.call('RPUSH', KEYS[2], line)
end
return redis.call('LRANGE', KEYS[2], 0, -1)
"""


class Input(Protocol):
    """Lines in batches."""

    def batches(self) -> Iterator[list[bytes]]:
        """Yield lines as they come; an empty list now and then while nothing comes."""

    def settle(self, pipe: Any) -> None:
        """The answers of the newest batch are out, or go out with the commands of this Redis pipeline."""

    def state(self) -> dict[str, Any]: ...


class FileInput:
    """A file, once or as it grows. A file that was rotated away is read to its end first."""

    def __init__(self, path: Path, *, follow: bool = False, state: dict[str, Any] | None = None) -> None:
        self._path, self._follow = path, follow
        self._inode, self._offset = (state or {}).get("inode"), int((state or {}).get("offset", 0))
        self._next = self._offset

    def batches(self) -> Iterator[list[bytes]]:
        while True:
            with self._open() as file:
                yield from self._read(file)
            if not self._follow:
                return
            self._offset, self._inode = 0, None

    def settle(self, pipe: Any = None) -> None:
        self._offset = self._next

    def state(self) -> dict[str, Any]:
        return {"inode": self._inode, "offset": self._offset}

    def _open(self) -> Any:
        while self._follow and not self._path.exists():
            time.sleep(PAUSE)
        file = gzip.open(self._path) if self._path.suffix == ".gz" else self._path.open("rb")  # noqa: SIM115 (the caller closes it)
        inode = os.fstat(file.fileno()).st_ino
        if self._inode not in (None, inode) or os.fstat(file.fileno()).st_size < self._offset:
            self._offset = 0  # another file now
        self._inode = inode
        file.seek(self._offset)
        return file

    def _read(self, file: Any) -> Iterator[list[bytes]]:
        rest, position = b"", self._offset
        while True:
            data = file.read(BYTES // 8)
            if not data:
                if not self._follow:
                    self._next = position + len(rest)
                    yield [rest] if rest else []
                    return
                if self._rotated():
                    return
                yield []
                time.sleep(PAUSE)
                continue
            *lines, rest = (rest + data).split(b"\n")
            for start in range(0, len(lines), LINES):
                some = lines[start : start + LINES]
                position += sum(map(len, some)) + len(some)
                self._next = position
                yield some

    def _rotated(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return False


class RedisListInput:
    """What `LPUSH` (Suricata's `list`) or `RPUSH` wrote."""

    def __init__(self, client: Any, key: str, name: str, oldest: str = "right") -> None:
        self._client, self._key, self._oldest = client, key, oldest
        self._held = f"{key}:held:{name}"
        self._take = client.register_script(_TAKE)

    def batches(self) -> Iterator[list[bytes]]:
        while True:
            lines = self._take([self._key, self._held], [LINES, self._oldest])
            yield lines
            if not lines:
                time.sleep(PAUSE)

    def settle(self, pipe: Any) -> None:
        pipe.delete(self._held)

    def state(self) -> dict[str, Any]:
        return {}


class RedisStreamInput:
    """What `XADD` wrote, read as one of a consumer group; what a crash left unacknowledged comes first."""

    def __init__(self, client: Any, key: str, name: str, group: str = "etalon") -> None:
        self._client, self._key, self._name, self._group = client, key, name, group
        self._ids: list[bytes] = []

    def batches(self) -> Iterator[list[bytes]]:
        self._make_group()
        after: str = "0"
        while True:
            told = self._client.xreadgroup(self._group, self._name, {self._key: after}, count=LINES, block=200)
            entries = told[0][1] if told else []
            if not entries and after == "0":
                after = ">"
                continue
            self._ids = [identity for identity, _fields in entries]
            yield [_line(fields) for _identity, fields in entries if fields]

    def settle(self, pipe: Any) -> None:
        if self._ids:
            pipe.xack(self._key, self._group, *self._ids)

    def state(self) -> dict[str, Any]:
        return {}

    def _make_group(self) -> None:
        import redis

        try:
            self._client.xgroup_create(self._key, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise


def is_redis(where: str) -> bool:
    return where.startswith(("redis://", "rediss://", "unix://"))


def open_redis(url: str) -> tuple[Any, str, str, dict[str, str]]:
    """Return client, kind, key and further words of `redis://HOST:PORT/0?list=KEY` (or `stream=KEY`, or unix://)."""
    import redis

    parts = urlsplit(url)
    words = {name: values[0] for name, values in parse_qs(parts.query).items()}
    kinds = [kind for kind in ("list", "stream") if kind in words]
    if len(kinds) != 1:
        raise ValueError(f"{url}: write redis://HOST:PORT/0?list=KEY or ?stream=KEY")
    client = redis.Redis.from_url(url.partition("?")[0], health_check_interval=30)
    return client, kinds[0], words.pop(kinds[0]), words


def open_input(where: str, name: str, *, follow: bool, state: dict[str, Any] | None) -> tuple[Input, Any]:
    """Return the input and the Redis client it uses, if any."""
    if not is_redis(where):
        return FileInput(Path(where), follow=follow, state=state), None
    client, kind, key, words = open_redis(where)
    if kind == "list":
        return RedisListInput(client, key, name, words.get("oldest", "right")), client
    return RedisStreamInput(client, key, name, words.get("group", "etalon")), client


def _line(fields: dict[bytes, bytes]) -> bytes:
    for name in FIELDS:
        if name in fields:
            return fields[name]
    return next(iter(fields.values()))
