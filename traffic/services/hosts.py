"""What one host did lately, out of the segments at hand: bounded, and saying how far back it looked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate

import duckdb

from traffic import storage
from traffic.models import Segment

DAYS = 7  # looked back, the day itself included
FILES = 64  # segments looked at, the newest
SESSIONS = 1_000_000  # in these: finding one host in as many takes a quarter of a second
SERVERS = 5

_DAYS = """
SELECT CAST(start AS DATE), count(*), count(*) FILTER (hits IS NOT NULL AND len(hits) > 0), count(DISTINCT server)
FROM sessions GROUP BY 1 ORDER BY 1
"""
_SERVERS = "SELECT server, count(*) FROM sessions GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
_WHOLE = "SELECT count(DISTINCT server), count(DISTINCT server) FILTER (CAST(start AS DATE) < ?) FROM sessions"


@dataclass(frozen=True, slots=True)
class Day:
    """One host on one day (UTC)."""

    day: date
    sessions: int
    with_hits: int  # sessions that a rule hit
    servers: int


@dataclass(frozen=True, slots=True)
class History:
    """What a host did on a day and on those before it, as a client."""

    day: date
    since: datetime | None  # the oldest session that was looked at; None: nothing is stored
    is_cut: bool  # more was stored than is looked at
    days: Sequence[Day]  # oldest first, days without sessions left out
    servers: Mapping[str, int]  # most asked for, with sessions
    distinct: int  # servers
    known_before: int  # of these, asked for on earlier days

    @property
    def today(self) -> Day:
        return next((one for one in self.days if one.day == self.day), Day(self.day, 0, 0, 0))

    @property
    def before(self) -> int:
        """Sessions on the days before."""
        return sum(one.sessions for one in self.days if one.day < self.day)

    @property
    def days_before(self) -> int:
        return sum(1 for one in self.days if one.day < self.day)


def _bounded(found: Sequence[tuple[str, datetime, int]]) -> Sequence[tuple[str, datetime, int]]:
    """Return the first segments that together are no more than is looked at, one at least."""
    sums = list(accumulate(rows for _path, _first, rows in found))
    return found[: max(min(bisect_right(sums, SESSIONS), FILES), 1)]


def history(host: str, at: datetime) -> History:
    """Return what a host did on the day of `at` (UTC) and up to DAYS before. Raises OSError when a file is gone."""
    day = at.astimezone(UTC).date()
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    begin, end = midnight - timedelta(days=DAYS - 1), midnight + timedelta(days=1)
    near = Segment.objects.of_traffic().filter(last_at__gte=begin, first_at__lt=end)
    newest = near.order_by("-last_at", "-pk").values_list("sessions_path", "first_at", "rows")[: FILES + 1]
    found = [(path, first, rows) for path, first, rows in newest if first is not None]
    looked = _bounded(found)
    if not looked:
        return History(day, None, False, [], {}, 0, 0)
    since = max(begin, min(first for _path, first, _rows in looked))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1")  # a page beside others, not a report
        connection.register("stored", storage.dataset([path for path, _first, _rows in looked]))
        connection.execute(
            "CREATE TEMP TABLE sessions AS SELECT start, hits, coalesce(host, dst_ip, '?') AS server FROM stored "
            "WHERE src_ip = ? AND start >= ? AND start < ?",
            [host, begin, end],
        )
        days = [Day(*row) for row in connection.execute(_DAYS).fetchall()]
        servers = dict(connection.execute(_SERVERS, [SERVERS]).fetchall())
        distinct, known_before = connection.execute(_WHOLE, [day]).fetchone() or (0, 0)
    return History(day, since, len(found) > len(looked), days, servers, distinct, known_before)
