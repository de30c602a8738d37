"""What stands around an item: earlier items of its look, and what is known of its host."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db.models import QuerySet

from labeling.models import Item, ItemHost, ItemState, Queue
from labeling.services import blind
from labeling.services.records import moment
from traffic.services import hosts
from traffic.services.hosts import History

SHOWN = 5
LOOKED_AT = 200  # items of one host: an address behind which many stand has thousands
CACHED = 300  # seconds: the next item is often of the same host
ELSEWHERE = (Queue.Kind.COMPLAINT, Queue.Kind.DUMP)  # their addresses are not of the network that is watched


def alike(item: Item) -> list[Item]:
    """Return other items of the same look, the newest first, of which nothing is anybody's secret."""
    same = Item.objects.filter(detector=item.detector_id, shape=item.shape)
    return list(_beside(item, same).order_by("-pk")[:SHOWN])


@dataclass(frozen=True, slots=True)
class HostItems:
    """The items in which one host appears, other than the one on screen."""

    newest: Sequence[Item]
    outcomes: Mapping[str, int]  # of settled ones
    waiting: int
    is_cut: bool  # only the newest were looked at


def of_host(item: Item, host: str) -> HostItems:
    """Return what else a host was put before experts for, whatever the detector."""
    numbers = ItemHost.objects.filter(host=host[:64]).exclude(item=item).order_by("-item")
    newest = list(numbers.values_list("item", flat=True)[: LOOKED_AT + 1])
    looked = newest[:LOOKED_AT]
    found = list(_beside(item, Item.objects.filter(pk__in=looked)).order_by("-pk"))
    outcomes = Counter(one.outcome for one in found if one.state == ItemState.SETTLED)
    waiting = sum(one.state in (ItemState.OPEN, ItemState.CONFLICT) for one in found)
    return HostItems(found[:SHOWN], outcomes, waiting, len(newest) > LOOKED_AT)


def _beside(item: Item, items: QuerySet[Item]) -> QuerySet[Item]:
    """Leave out the same session asked about elsewhere, and drawn sessions until their outcome is told."""
    others = items.exclude(pk=item.pk).exclude(subject_key=item.subject_key)
    return others.filter(blind.is_told()).select_related("detector", "queue")


def host_history(item: Item, row: Mapping[str, Any]) -> History | None:
    """Return what the item's host did in the stored traffic; None where its address is not of our network."""
    host = row["src_ip"]
    if not host or item.queue.kind in ELSEWHERE:
        return None
    at: datetime = moment(row["start"])
    name = hashlib.sha256(str(host).encode("utf-8", "surrogatepass")).hexdigest()  # from the wire: of any length
    key = f"host-history-{name}-{at.date().isoformat()}"
    found: History | None = cache.get_or_set(key, lambda: hosts.history(host, at), timeout=CACHED)
    return found
