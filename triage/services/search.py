"""One field on top of every page: whatever has a number, a name or a digest is found by it.

Nothing here reads a whole table of items: numbers and hosts go by an index, words are looked for among the newest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.db import connection
from django.db.models import Q
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import rights
from accounts.models import User
from labeling.models import Item, ItemHost, ItemState, Queue
from models_registry.models import Bundle, Detector, IndicatorList, Version
from triage.models import Complaint
from triage.services import served

LONGEST = 200  # characters of a question
EACH = 8  # answers of one kind
NEWEST = 5_000  # items whose titles are read for a word
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Found:
    """One answer: what it is, what it is called, where it lives."""

    kind: Promise
    title: str
    url: str
    note: str = ""


def search(asked: str, reader: User) -> list[Found]:
    """Return what a question may mean, kind by kind, as far as the reader's role may open it."""
    asked = asked.replace("\x00", "").strip()[:LONGEST]
    if not asked:
        return []
    return [
        found
        for kind in _KINDS
        for found in kind(asked, reader)
        if rights.may_open(reader, found.url.partition("#")[0])
    ]


def _number(asked: str, prefix: str) -> int | None:
    """Return the number in "12", "#12" or "C-12"; None when it is none that a row can have."""
    match = re.fullmatch(rf"(?:{prefix}|#)?\s*(\d{{1,19}})", asked, re.IGNORECASE)
    number = int(match[1]) if match else None
    return number if number is not None and number <= LARGEST_ID else None


def _complaints(asked: str, reader: User) -> Iterable[Found]:
    if (number := _number(asked, "C-")) is None:
        return
    visible = Complaint.objects.visible_to(reader).filter(pk=number)
    for complaint in visible.select_related("customer", "detector"):
        url = reverse("triage:complaint", args=[complaint.pk])
        yield Found(_("complaint"), complaint.number, url, f"{complaint.customer} · {complaint.detector or '–'}")


def _items(asked: str, reader: User) -> Iterable[Found]:
    items = Item.objects.select_related("detector")
    number = _number(asked, "item")
    found = items.in_bulk([number] if number is not None else [])
    if len(asked) > 1:
        hosts = ItemHost.objects.filter(_starts("host", asked)).values_list("item_id", flat=True)
        found |= items.in_bulk(list(hosts.order_by("host", "-item_id")[:EACH]))
        newest = Item.objects.order_by("-id").values("pk")[:NEWEST]
        by_word = items.filter(pk__in=newest, title__icontains=asked).order_by("-id")
        found |= {item.pk: item for item in by_word[:EACH]}
    listed = [item for item in found.values() if item.state != ItemState.SEED or item.pk == number]
    for item in listed[: 2 * EACH]:
        yield Found(_("item"), item.title, reverse("labeling:item", args=[item.pk]), f"#{item.pk} · {item.detector}")


def _starts(field: str, text: str) -> Q:
    """Say that a column starts with a text, so that its index is used: SQLite's LIKE would read all rows."""
    if connection.vendor == "postgresql":
        return Q(**{f"{field}__startswith": text})
    return Q(**{f"{field}__gte": text, f"{field}__lt": text + chr(0x10FFFF)})


def _versions(asked: str, reader: User) -> Iterable[Found]:
    name, colon, number = asked.partition(":")
    if not colon or (number and not number.isascii()) or (number and not number.isdigit()) or len(number) > 9:
        return
    versions = Version.objects.filter(detector__name__istartswith=name).select_related("detector")
    for version in (versions.filter(number=int(number)) if number else versions).order_by("-id")[:EACH]:
        url = reverse("models_registry:version", args=[version.detector.name, version.number])
        yield Found(_("version"), str(version), url, version.get_stage_display())


def _detectors(asked: str, reader: User) -> Iterable[Found]:
    for detector in Detector.objects.filter(name__icontains=asked).order_by("name")[:EACH]:
        yield Found(_("detector"), detector.name, reverse("models_registry:detector", args=[detector.name]))


def _queues(asked: str, reader: User) -> Iterable[Found]:
    for queue in Queue.objects.filter(slug__icontains=asked).select_related("detector").order_by("slug")[:EACH]:
        yield Found(_("queue"), str(queue), reverse("labeling:queue", args=[queue.slug]))


def _bundles(asked: str, reader: User) -> Iterable[Found]:
    digest = asked.lower()
    if not re.fullmatch(r"[0-9a-f]{4,64}", digest):
        return
    for bundle in Bundle.objects.filter(_starts("digest", digest)).order_by("-id")[:EACH]:
        url = reverse("models_registry:bundle", args=[bundle.pk])
        yield Found(_("bundle"), str(bundle), url, f"{bundle.created_at:%Y-%m-%d}")


def _customers(asked: str, reader: User) -> Iterable[Found]:
    for customer in served.customers_of(reader).filter(name__icontains=asked).order_by("name")[:EACH]:
        yield Found(_("customer"), customer.name, reverse("triage:customer", args=[customer.pk]))


def _indicators(asked: str, reader: User) -> Iterable[Found]:
    for known in IndicatorList.objects.filter(name__icontains=asked).order_by("name")[:EACH]:
        yield Found(_("indicators"), known.name, reverse("models_registry:indicator-list", args=[known.name]))


_KINDS: tuple[Callable[[str, User], Iterable[Found]], ...] = (
    _complaints,
    _items,
    _versions,
    _detectors,
    _queues,
    _bundles,
    _customers,
    _indicators,
)
