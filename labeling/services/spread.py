"""Over which times and sensors the sessions of an item are spread: counts that grow with every routed file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detection.spread import Spread
from detection.texts import storable
from labeling.models import ItemRecord
from labeling.services.records import from_json, to_json

BATCH = 100  # rows per statement


@dataclass(frozen=True, slots=True)
class Seen:
    """Sessions of one item by time, and by the sensor that saw them."""

    times: Spread
    sensors: Mapping[str, int]

    @classmethod
    def of(cls, stored: str) -> Seen:
        """Return what is stored; nothing for items that were made before it was counted, or stand for one session."""
        if not stored:
            return cls(Spread(), {})
        values = from_json(stored)
        return cls(Spread.from_dict(values["times"]), values["sensors"])

    def to_text(self) -> str:
        return to_json({"times": self.times.to_dict(), "sensors": dict(self.sensors)})


def add(sensor: str, starts: Mapping[int, Sequence[int]]) -> None:
    """Add sessions that one sensor saw to items, by their starts in microseconds. Call it with the items locked."""
    _change(sensor, starts, 1)


def take_out(sensor: str, starts: Mapping[int, Sequence[int]]) -> None:
    """Let items no longer stand for some sessions. Call it with the items locked."""
    _change(sensor, starts, -1)


def _change(sensor: str, starts: Mapping[int, Sequence[int]], step: int) -> None:
    name = storable(sensor, 100)
    records = list(ItemRecord.objects.filter(pk__in=starts).only("spread").order_by("pk"))
    for record in records:
        seen = Seen.of(record.spread)
        given = starts[record.pk]
        times = seen.times.plus(given) if step > 0 else seen.times.minus(given)
        sensors = Counter(dict(seen.sensors))
        sensors[name] += step * len(given)
        record.spread = Seen(times, {one: count for one, count in sensors.items() if count > 0}).to_text()
    ItemRecord.objects.bulk_update(records, ["spread"], batch_size=BATCH)
