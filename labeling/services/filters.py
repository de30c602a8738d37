"""Which items a person asks for, and in which order: one value for pages, claims, bulk answers and saved queues."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db import connection, models
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from detection.selection import Cell
from labeling.models import Item, ItemState
from labeling.models.items import REASON_NAMES

ANY = "any"  # state: every one of them
LONGEST = 200  # characters of one value

Condition = tuple[str, Any]  # SQL with one placeholder, and its parameter


class FilterRefused(ValueError):  # noqa: N818
    """A filter says something that cannot be meant: it selects nothing, rather than more than was asked for."""


class Order(models.TextChoices):
    PRIORITY = "priority", gettext_lazy("most urgent first")
    NEWEST = "newest", gettext_lazy("newest first")
    OLDEST = "oldest", gettext_lazy("longest waiting first")
    LARGEST = "largest", gettext_lazy("largest group first")


@dataclass(frozen=True, slots=True)
class Sorting:
    """An order that an index gives, and that a page can go on from: a column, then the number of the item."""

    column: str
    descending: bool
    newest_first: bool  # among equals

    @property
    def sql(self) -> str:
        names = dict.fromkeys([_SQL_NAME[self.column], _SQL_NAME["id"]])
        ways = [" DESC" if down else "" for down in (self.descending, self.newest_first)]
        return ", ".join(f"{name}{way}" for name, way in zip(names, ways, strict=False))

    @property
    def fields(self) -> tuple[str, ...]:
        names = dict.fromkeys([self.column, "id"])
        ways = ["-" if down else "" for down in (self.descending, self.newest_first)]
        return tuple(f"{way}{name}" for name, way in zip(names, ways, strict=False))

    def key(self, item: Item) -> str:
        """Return where a page ended."""
        value = getattr(item, self.column)
        return f"{value.isoformat() if isinstance(value, datetime) else repr(value)}_{item.pk}"

    def after(self, items: QuerySet[Item], key: str) -> QuerySet[Item]:
        """Return the items that come after a key; all of them where the key says nothing."""
        try:
            value, _line, pk = key.rpartition("_")
            bound, last = _KEY[self.column](value), int(pk)
        except ValueError:
            return items
        way, next_id = "lt" if self.descending else "gt", "lt" if self.newest_first else "gt"
        beyond = Q(**{f"{self.column}__{way}": bound}) | Q(**{f"id__{next_id}": last})
        # the first bound alone lets the index skip what lies before
        return items.filter(**{f"{self.column}__{way}e": bound}).filter(beyond)


def _time_of_key(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


_KEY: dict[str, Callable[[str], Any]] = {
    "id": int,
    "sessions": int,
    "priority": float,
    "created_at": _time_of_key,
    "settled_at": _time_of_key,
}
_SQL_NAME = {name: f"labeling_item.{name}" for name in _KEY}
_SORTINGS = {
    Order.PRIORITY: Sorting("priority", descending=True, newest_first=False),
    Order.NEWEST: Sorting("created_at", descending=True, newest_first=True),
    Order.OLDEST: Sorting("created_at", descending=False, newest_first=False),
    Order.LARGEST: Sorting("sessions", descending=True, newest_first=False),
}
_SETTLED = Sorting("settled_at", descending=True, newest_first=True)
_OF_ANY_STATE = Sorting("id", descending=True, newest_first=True)  # no index but the key knows all states


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Empty fields ask for nothing. Times are UTC."""

    text: str = ""  # in the title, in any case
    host: str = ""  # a source address of the group
    reason: str = ""
    cell: str = ""
    min: float | None = None  # score, 0 to 1
    max: float | None = None
    sensor: str = ""  # of the session that is judged
    source: str = ""
    since: datetime | None = None  # the group was seen at or after
    until: datetime | None = None  # the group was seen before
    state: str = ItemState.OPEN.value
    order: str = Order.PRIORITY.value

    @classmethod
    def of(cls, query: Mapping[str, str]) -> ItemFilter:
        """Return what a query string says; other keys are left alone. Raises FilterRefused."""
        said = {name: query.get(name, "").strip() for name in _READ}
        read = {name: _READ[name](value) for name, value in said.items() if value}
        wanted = cls(**read)
        if wanted.min is not None and wanted.max is not None and wanted.min > wanted.max:
            raise FilterRefused(_("The lowest score asked for is above the highest."))
        if wanted.since and wanted.until and wanted.since >= wanted.until:
            raise FilterRefused(_("The filter ends before it begins."))
        return wanted

    @property
    def query(self) -> str:
        """The query string that `of` reads, without what is the same for everybody; "" for the whole queue."""
        return urlencode({name: _written(value) for name, value in self._said()})

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out, beyond other states."""
        return any(name not in ("state", "order") for name, _value in self._said())

    @property
    def tells_of_models(self) -> bool:
        """Whether being selected by it tells what models and rules said."""
        return bool(self.reason or self.cell) or self.min is not None or self.max is not None

    @property
    def sorting(self) -> Sorting:
        if self.state == ANY:
            return _OF_ANY_STATE
        if self.state == ItemState.SETTLED and self.order == Order.PRIORITY:
            return _SETTLED
        return _SORTINGS[Order(self.order)]

    def apply(self, items: QuerySet[Item]) -> QuerySet[Item]:
        """Return those of the items that are asked for, in the order that is asked for."""
        sql, parameters = self.where()
        found = items.extra(where=sql, params=parameters) if sql else items  # noqa: S610 - ours
        return found.order_by(*self.sorting.fields)

    def where(self, state: str | None = None) -> tuple[list[str], list[Any]]:
        """Return conditions on labeling_item and their parameters. The state is a literal: with a parameter no
        planner can prove that a partial index applies."""
        of_state = state or self.state
        # a seed is nobody's to find; who holds one has it all the same
        of_any = "(labeling_item.state <> 'seed' OR labeling_item.claimed_by_id IS NOT NULL)"
        sql = [of_any if of_state == ANY else f"labeling_item.state = '{ItemState(of_state).value}'"]
        parameters = []
        for condition, value in self._conditions():
            sql.append(condition)
            parameters.append(value)
        if self.tells_of_models:  # who answers a drawn item must not have found it by what a model said
            sql.append("labeling_item.reason <> 'proof'")
        return sql, parameters

    def _conditions(self) -> list[Condition]:
        found = [
            ("LOWER(labeling_item.title) LIKE LOWER(%s) ESCAPE '!'", _like(self.text)),
            (
                "EXISTS (SELECT 1 FROM labeling_itemhost h WHERE h.item_id = labeling_item.id AND h.host = %s)",
                self.host,
            ),
            *((f"labeling_item.{name} = %s", getattr(self, name)) for name in ("reason", "cell", "sensor", "source")),
            ("labeling_item.score >= %s", self.min),
            ("labeling_item.score <= %s", self.max),
            ("labeling_item.last_at >= %s", _stored(self.since)),
            ("labeling_item.first_at < %s", _stored(self.until)),
        ]
        return [(sql, value) for sql, value in found if value not in ("", None)]

    def _said(self) -> list[tuple[str, Any]]:
        return [(field.name, value) for field in fields(self) if (value := getattr(self, field.name)) != field.default]


EVERYTHING = ItemFilter()


def _like(text: str) -> str:
    if not text:
        return ""
    return "%" + "".join(f"!{letter}" if letter in "!%_" else letter for letter in text) + "%"


def _stored(moment: datetime | None) -> Any:
    return None if moment is None else connection.ops.adapt_datetimefield_value(moment)


def _written(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat()
    return str(value)


def _text(value: str) -> str:
    if len(value) > LONGEST or "\0" in value:
        raise FilterRefused(_("“%(text)s…” is longer than a filter may be.") % {"text": value[:20]})
    return value


def _one_of(known: Mapping[str, Any] | set[str]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in known:
            raise FilterRefused(_("“%(value)s” is nothing that items are told apart by.") % {"value": value[:40]})
        return value

    return read


def _score(value: str) -> float:
    try:
        score = float(value)
    except ValueError:
        score = math.nan
    if not 0 <= score <= 1:
        raise FilterRefused(_("“%(value)s” is not a score: write a number from 0 to 1.") % {"value": value[:40]})
    return score


def _moment(value: str, *, ends: bool = False) -> datetime:
    """Return a time, or the begin (or end) of a day."""
    try:
        moment, day = parse_datetime(value), parse_date(value)
    except ValueError:
        moment, day = None, None
    if day is not None:
        return datetime.combine(day + timedelta(days=1) if ends else day, time(), UTC)
    if moment is None:
        raise FilterRefused(
            _("“%(value)s” is not a time: write 2026-11-22 or 2026-11-22T14:00.") % {"value": value[:40]}
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_READ: dict[str, Callable[[str], Any]] = {
    "text": _text,
    "host": _text,
    "reason": _one_of(REASON_NAMES),
    "cell": _one_of(set(Cell)),
    "min": _score,
    "max": _score,
    "sensor": _text,
    "source": _text,
    "since": _moment,
    "until": lambda value: _moment(value, ends=True),
    "state": _one_of({*ItemState.values, ANY} - {ItemState.SEED}),
    "order": _one_of(set(Order.values)),
}
