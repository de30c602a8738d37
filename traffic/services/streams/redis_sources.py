"""A Redis list or stream. One consumer reads at a time: the lines of a flow lie seconds apart, and two would part them.

The turn is a key that its holder renews with every call; whoever waits takes over when it runs out. Every batch has a
tag of its own, so that Redis can tell a batch that lies in our spool already from one that does not.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlparse

import redis
import structlog

from traffic.services.streams import Batch, OtherReadsError, Position, StreamPolicy

log = structlog.get_logger(__name__)
_FIELDS = (b"eve", b"message", b"event", b"data")  # of a stream's entry; else its first one

# free what is spooled; give again what is not; move the oldest lines into this consumer's own list, if it is its turn
_TAKE = """
local list, held, tag, turn = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local spooled, new, consumer, ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lines, bytes, right = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == 'right'
if spooled ~= '' and redis.call('GET', tag) == spooled then redis.call('DEL', held, tag) end
if redis.call('EXISTS', held) == 0 then
  local reader = redis.call('GET', turn)
  if reader and reader ~= consumer then return {reader} end
  redis.call('SET', turn, consumer, 'PX', ms)
  while lines > 0 and bytes > 0 do
    local some
    local count = math.min(lines, 200)
    if right then
      some = redis.call('LRANGE', list, -count, -1)
      redis.call('LTRIM', list, 0, -count - 1)
      for i = 1, math.floor(#some / 2) do some[i], some[#some + 1 - i] = some[#some + 1 - i], some[i] end
    else
      some = redis.call('LRANGE', list, 0, count - 1)
      redis.call('LTRIM', list, count, -1)
    end
    if #some == 0 then break end
    redis.call('RPUSH', held, unpack(some))
    for i = 1, #some do bytes = bytes - #some[i] end
    lines = lines - #some
  end
  if redis.call('EXISTS', held) == 1 then redis.call('SET', tag, new) end
end
return {'', redis.call('GET', tag) or '', redis.call('LLEN', list), redis.call('LRANGE', held, 0, -1)}
"""

_TURN = """
local reader = redis.call('GET', KEYS[1])
if reader and reader ~= ARGV[1] then return reader end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return reader and '' or 'new'
"""

_LEAVE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

# acknowledge what nobody claimed from us; the answer to a tag is kept, because we may die before we hear it
_SETTLE = """
local stream, settled, claimed = KEYS[1], KEYS[2], KEYS[3]
local group, consumer, tag, claims, days = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local last = redis.call('HGET', settled, consumer)
if last and cjson.decode(last)[1] == tag then return cjson.decode(last)[2] end
local holder = {}
for _, entry in ipairs(redis.call('XPENDING', stream, group, ARGV[6], ARGV[#ARGV], 1000000)) do
  holder[entry[1]] = entry[2]
end
local lost = {}
for i = 6, #ARGV do
  local id = ARGV[i]
  if holder[id] == consumer then
    redis.call('XACK', stream, group, id)
    if claims == '1' then redis.call('SADD', claimed, id) end
  elseif holder[id] or redis.call('SISMEMBER', claimed, id) == 1 then
    lost[#lost + 1] = id
  end
end
if claims == '1' then redis.call('EXPIRE', claimed, days * 86400) end
redis.call('HSET', settled, consumer, cjson.encode({tag, lost}))
return lost
"""
_CLAIMS_KEPT = 365  # days: a machine that comes back later than that may bring a batch a second time

_COUNT = "return #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 10000)"  # more need not be told apart


class RedisList:
    """What `LPUSH` (Suricata's `list`) or `RPUSH` wrote."""

    unit = "lines"

    def __init__(self, url: str, key: str, consumer: str, policy: StreamPolicy, *, oldest: str = "right") -> None:
        self.name = f"list {key} at {_place(url)}, consumer {consumer}"
        self._key, self._consumer, self._policy, self._oldest = key, consumer, policy, oldest
        self._held, self._turn = f"{key}:held:{consumer}", f"{key}:turn"
        self._redis = _connect(url)
        self._take = self._redis.register_script(_TAKE)

    def beginning(self) -> Position | None:
        return None

    def settle(self, position: Position) -> list[str]:
        """The next `take` names the tag: until then the lines stay in Redis a second time."""
        return []

    def take(self, after: Position | None) -> Batch | None:
        other, *rest = self._call(after, self._policy.batch_lines)
        if other:
            time.sleep(self._policy.poll_seconds)
            raise OtherReadsError(other.decode())
        tag, waiting, lines = rest
        if not lines:
            time.sleep(self._policy.poll_seconds)
            return None
        return Batch([_one_line(line) for line in lines], {"tag": tag.decode()}, more=waiting > 0)

    def _call(self, after: Position | None, lines: int) -> Any:
        keys = [self._key, self._held, f"{self._held}:tag", self._turn]
        ms = int(self._policy.turn_seconds * 1000)
        spooled, tag = (after or {}).get("tag", ""), uuid.uuid4().hex
        return self._take(keys, [spooled, tag, self._consumer, ms, lines, 8 * self._policy.batch_bytes, self._oldest])

    def is_waiting(self) -> bool:
        return False

    def lag(self) -> int:
        return int(self._redis.llen(self._key))

    def close(self) -> None:
        with suppress(redis.RedisError):
            _leave(self._redis, self._turn, self._consumer)


class RedisStream:
    """What `XADD` wrote, read as one of a consumer group. What a dead consumer held is claimed."""

    unit = "entries"

    def __init__(
        self,
        url: str,
        key: str,
        group: str,
        consumer: str,
        policy: StreamPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"stream {key} at {_place(url)}, group {group}, consumer {consumer}"
        self._key, self._group, self._consumer, self._policy = key, group, consumer, policy
        self._turn = f"{key}:{group}:turn"
        self._redis = _connect(url)
        self._clock = clock
        self._is_grouped = False
        self._own_from: str | None = "0"  # what was given to us before we died, first
        self._claim_at = 0.0
        self._handed: str | None = None
        self._ask_turn = self._redis.register_script(_TURN)
        self._settle = self._redis.register_script(_SETTLE)

    def beginning(self) -> Position | None:
        return None

    def settle(self, position: Position) -> list[str]:
        self._make_group()
        ids = position.get("ids")
        if not ids:
            return []
        self._handed = position["tag"]
        claims = "1" if position.get("claimed") else "0"
        keys = [self._key, f"{self._key}:{self._group}:settled", f"{self._key}:{self._group}:claimed"]
        lost = self._settle(keys, [self._group, self._consumer, position["tag"], claims, _CLAIMS_KEPT, *ids])
        return [one.decode() for one in lost]

    def take(self, after: Position | None) -> Batch | None:
        self._make_group()
        self._wait_for_turn()
        if self._handed != (after or {}).get("tag"):  # what we handed over could not be kept
            self._own_from = "0"
        entries, more, claimed = self._entries()
        return self._batch(entries, more, claimed=claimed) if entries else None

    def _wait_for_turn(self) -> None:
        answer = self._ask_turn([self._turn], [self._consumer, int(self._policy.turn_seconds * 1000)])
        if answer == b"new":
            self._claim_at = 0.0  # whoever had it may have left something
            self._own_from = "0"
        elif answer:
            time.sleep(self._policy.poll_seconds)
            raise OtherReadsError(answer.decode())

    def _entries(self) -> tuple[list[Any], bool, bool]:
        """Return what is ours already, then what a dead consumer held, then what nobody has seen.

        With it, whether more waits, and whether it may lie in another one's spool: what is ours may have been claimed
        by an earlier process."""
        count = self._policy.batch_lines
        if self._own_from is not None:
            told = self._redis.xreadgroup(self._group, self._consumer, {self._key: self._own_from}, count=count)
            entries = told[0][1] if told else []
            self._own_from = entries[-1][0].decode() if entries else None
            if entries:
                return entries, True, True
        if self._clock() >= self._claim_at:
            idle = int(self._policy.turn_seconds * 1000)
            claimed = self._redis.xautoclaim(self._key, self._group, self._consumer, idle, "0-0", count=count)
            if claimed[1]:
                log.info("stream.claimed", stream=self.name, entries=len(claimed[1]))
                return claimed[1], True, True
            self._claim_at = self._clock() + self._policy.turn_seconds
        block = max(int(self._policy.poll_seconds * 1000), 1)
        told = self._redis.xreadgroup(self._group, self._consumer, {self._key: ">"}, count=count, block=block)
        entries = told[0][1] if told else []
        return entries, len(entries) == count, False

    def _batch(self, entries: Sequence[Any], more: bool, *, claimed: bool) -> Batch | None:
        gone = [name for name, fields in entries if not fields]
        if gone:  # trimmed by the one who writes, before anybody read it
            log.warning("stream.trimmed", stream=self.name, entries=len(gone))
            self._redis.xack(self._key, self._group, *gone)
        kept = sorted((_order(name), name.decode(), _line(fields)) for name, fields in entries if fields)
        if not kept:
            return None
        self._handed = uuid.uuid4().hex
        ids = [name for _, name, _ in kept]
        position: Position = {"tag": self._handed, "ids": ids, **({"claimed": True} if claimed else {})}
        return Batch([line for _, _, line in kept], position, more)

    def _make_group(self) -> None:
        if self._is_grouped:
            return
        try:
            self._redis.xgroup_create(self._key, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._is_grouped = True

    def is_waiting(self) -> bool:
        return False

    def lag(self) -> int:
        for group in self._redis.xinfo_groups(self._key):
            if group["name"] == self._group.encode():
                told = group.get("lag")
                if told is None:  # before Redis 7, and where entries were deleted, it must be counted
                    told = self._redis.eval(_COUNT, 1, self._key, group["last-delivered-id"])
                return int(group["pending"]) + int(told)
        return 0

    def close(self) -> None:
        with suppress(redis.RedisError):
            _leave(self._redis, self._turn, self._consumer)


def _connect(url: str) -> Any:
    return redis.Redis.from_url(url, protocol=2, socket_timeout=30, socket_connect_timeout=5)


def _leave(client: Any, turn: str, consumer: str) -> None:
    client.eval(_LEAVE, 1, turn, consumer)


def _place(url: str) -> str:
    """Return where a Redis is, without user and password."""
    parts = urlparse(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}/{parts.path.strip('/') or 0}"


def _order(name: bytes) -> tuple[int, int]:
    first, _, second = name.partition(b"-")
    return int(first), int(second)


def _line(fields: dict[bytes, bytes]) -> bytes:
    for name in _FIELDS:
        if name in fields:
            return _one_line(fields[name])
    return _one_line(next(iter(fields.values())))


def _one_line(data: bytes) -> bytes:
    """JSON takes a space for a newline; what is no JSON goes to quarantine either way."""
    return data.rstrip(b"\r\n").replace(b"\n", b" ")
