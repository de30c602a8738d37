"""The commonest looks of what passes a hunt, exactly, over millions of sessions.

A look is made of columns that are folded one by one. The different texts of a column are few beside the sessions, so
each is folded once; sessions are counted by what came out, and the few kinds that are left are looked at closely."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from django.utils.translation import gettext as _

from detection.filters.looks import COLUMNS, look_of, write_look
from detection.fingerprint import agent_family, issuer_name, registered_domain, uri_shape
from models_registry.services.hunt_tables import Asked, HuntTooLong

MOST_TEXTS = 400_000  # of one column; folding as many takes some seconds
_FOLDS: dict[str, Callable[[str | None], str]] = {
    "host": registered_domain,
    "uri": uri_shape,
    "user_agent": agent_family,
    "cert_issuer": issuer_name,
}
# every digit folds alike; behind a percent sign it means a letter
_URI = "CASE WHEN contains(s.uri, '%') THEN s.uri ELSE digits_alike(s.uri) END"
# where JA4 is whole nobody looks at JA3, which shuffling browsers change with each connection
_JA3 = (
    "CASE WHEN s.protocol = 'tls' AND len(string_split(s.ja4, '_')) = 3 AND len(split_part(s.ja4, '_', 1)) = 10"
    " THEN NULL ELSE s.ja3 END"
)
_ASKED = {name: f"s.{name}" for name in COLUMNS} | {"uri": _URI, "ja3": _JA3}
Kind = tuple[str | int | None, ...]  # the values of COLUMNS; a number stands for a folded text


@dataclass(frozen=True, slots=True)
class Looked:
    look: str  # as a filter names it
    sessions: int
    hosts: int


def commonest(asked: Asked, most: int) -> list[Looked]:
    """Return the commonest looks of what passes, with their hosts."""
    texts = {name: _fold(asked, name) for name in _FOLDS}
    kinds = ", ".join(f"{f'folded_{name}.code' if name in _FOLDS else _ASKED[name]} AS {name}" for name in COLUMNS)
    joins = " ".join(f"LEFT JOIN folded_{name} ON folded_{name}.text = {_ASKED[name]}" for name in _FOLDS)
    asked.keep("kinds", f"SELECT {kinds}, s.src_ip AS client, count(*) AS sessions", "GROUP BY ALL", joins)
    names = ", ".join(COLUMNS)
    sql = f"SELECT {names}, sum(sessions) FROM kinds GROUP BY ALL LIMIT $most"  # noqa: S608 - our names
    found = asked.kept(sql, most=MOST_TEXTS + 1)
    _bounded(len(found))
    of_look: defaultdict[str, list[Kind]] = defaultdict(list)
    sessions: Counter[str] = Counter()
    for *kind, number in found:
        pairs = zip(COLUMNS, kind, strict=True)
        row = {name: texts[name][value] if name in texts and value is not None else value for name, value in pairs}
        look = write_look(look_of(row))
        of_look[look].append(tuple(kind))
        sessions[look] += int(number)
    top = sorted(sessions, key=lambda look: (-sessions[look], look))[:most]
    asked.connection.register("chosen", _table([(at, kind) for at, look in enumerate(top) for kind in of_look[look]]))
    same = " AND ".join(f"c.{name} IS NOT DISTINCT FROM k.{name}" for name in COLUMNS)
    sql = f"SELECT c.place, count(DISTINCT k.client) FROM kinds k JOIN chosen c ON {same} GROUP BY c.place"  # noqa: S608
    hosts = dict(asked.kept(sql))
    return [Looked(look, sessions[look], hosts[at]) for at, look in enumerate(top)]


def _fold(asked: Asked, name: str) -> list[str]:
    """Offer the table `folded_…`: the texts of a column with the numbers of what they fold to.

    Return one text by each number."""
    found = asked.rows(f"SELECT DISTINCT {_ASKED[name]} AS text", "LIMIT $most", most=MOST_TEXTS + 1)
    _bounded(len(found))
    texts = [text for (text,) in found if text is not None]
    codes: dict[str, int] = {}
    standing: list[str] = []
    column = []
    for text in texts:
        folded = _FOLDS[name](text)
        if folded not in codes:
            codes[folded] = len(standing)
            standing.append(text)
        column.append(codes[folded])
    table = pa.table({"text": pa.array(texts, pa.string()), "code": pa.array(column, pa.int32())})
    asked.connection.register(f"folded_{name}", table)
    return standing


def _table(kinds: list[tuple[int, Kind]]) -> pa.Table:
    types = {name: pa.int32() if name in _FOLDS else pa.string() for name in COLUMNS}
    columns = {name: pa.array([kind[at] for _place, kind in kinds], types[name]) for at, name in enumerate(COLUMNS)}
    return pa.table({"place": pa.array([place for place, _kind in kinds], pa.int32()), **columns})


def _bounded(number: int) -> None:
    if number > MOST_TEXTS:
        told = _(
            "More than %(most)s different texts pass, too many to compare: narrow the hunt by name, client or time."
        )
        raise HuntTooLong(told % {"most": f"{MOST_TEXTS:,}"})
