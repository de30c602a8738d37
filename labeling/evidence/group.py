"""Over which hosts, times and sensors the sessions of an item are spread, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from labeling.models import Item, ItemHost
from labeling.services import surroundings
from labeling.services.records import from_json, moment
from labeling.services.spread import Seen

TOP_HOSTS = 8
TOP_SENSORS = 5
HEIGHT = 28.0  # of the drawing
STEP = 8  # from one bar to the next
FEWEST = 24  # bars that fill the width: fewer of them stay narrow


@dataclass(frozen=True, slots=True)
class Slot:
    """The sessions of a stretch of time, as a bar."""

    at: datetime
    sessions: int
    x: int
    height: float

    @property
    def y(self) -> float:
        return HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Share:
    """One host or sensor, and its part of the largest."""

    name: str
    sessions: int
    width: float  # of 100


@dataclass(frozen=True)
class Group:
    """All that an item stands for."""

    item: Item

    @cached_property
    def _seen(self) -> Seen:
        return Seen.of(self.item.record.spread)

    @cached_property
    def slots(self) -> list[Slot]:
        """Bars over time; none where all sessions fall into one."""
        times = self._seen.times
        bars, begins = times.bars, times.begins
        if begins is None or len(bars) < 2:
            return []
        first, highest = datetime.fromtimestamp(begins, UTC), max(bars)
        width = timedelta(seconds=times.width)
        return [
            Slot(first + number * width, count, number * STEP, count and max(HEIGHT * count / highest, 1.5))
            for number, count in enumerate(bars)
        ]

    @cached_property
    def is_tls(self) -> bool:
        return bool(from_json(self.item.record.row)["protocol"] == "tls")

    @property
    def drawn_width(self) -> int:
        return max(len(self.slots), FEWEST) * STEP

    @property
    def drawn_height(self) -> float:
        return HEIGHT

    @property
    def slot_name(self) -> str:
        """How long a bar is, in words."""
        minutes = self._seen.times.width // 60
        if minutes < 60:
            return ngettext("%(n)s minute", "%(n)s minutes", minutes) % {"n": minutes}
        hours = minutes // 60
        if hours < 24:
            return ngettext("%(n)s hour", "%(n)s hours", hours) % {"n": hours}
        return _("1 day") if hours == 24 else _("1 week")

    @cached_property
    def sensors(self) -> list[Share]:
        return _shares(self._seen.sensors, TOP_SENSORS)

    @property
    def sensor_count(self) -> int:
        return len(self._seen.sensors)

    @cached_property
    def hosts(self) -> list[Share]:
        found = ItemHost.objects.filter(item=self.item).order_by("-sessions", "host")[:TOP_HOSTS]
        return _shares({one.host: one.sessions for one in found}, TOP_HOSTS)

    @property
    def other_hosts(self) -> int:
        return max(self.item.hosts - len(self.hosts), 0)

    @cached_property
    def examples(self) -> list[dict[str, Any]]:
        return [example | {"at": moment(example["start"])} for example in from_json(self.item.record.examples)]

    @cached_property
    def alike(self) -> list[Item]:
        return surroundings.alike(self.item)


def _shares(counts: Mapping[str, int], most: int) -> list[Share]:
    largest = max(counts.values(), default=1)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Share(name, count, 100 * count / largest) for name, count in ordered[:most]]
