"""Hunts of experts: what models_registry.services.hunts answers, with what experts said of the sessions."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
from django.utils import timezone

from detection.filters import compile_sql
from detection.filters.looks import Look, look_of
from labeling.models import Answer, Item, Queue, SubjectKind
from labeling.services.records import from_json
from models_registry.models import Detector, Version
from models_registry.services import hunts
from models_registry.services.hunt_tables import ANSWERS, Hunt


class ExpertAnswers:
    """Settled answers, the newest of each session."""

    def of(self, detector: str | None) -> pa.Table:
        settled = Item.objects.settled().filter(subject_kind=SubjectKind.SESSION)
        settled = (
            settled.filter(outcome=Answer.POSITIVE) if detector is None else settled.filter(detector__name=detector)
        )
        pairs = settled.order_by("settled_at", "id").values_list("subject_key", "outcome")
        return _table(dict(pairs.iterator()))


def prepare(
    text: str, *, window: hunts.Window | None = None, under_test: Version | None = None, now: datetime | None = None
) -> Hunt:
    """Understand a filter; it may ask what experts said. Raises FilterError."""
    return hunts.prepare(
        text,
        now=now or timezone.now(),
        window=window,
        under_test=under_test,
        answers=ExpertAnswers(),
        looks=known_look,
    )


def version_named(name: str) -> Version | None:
    """Return the version of "ktalk:3"; None when there is none."""
    return Version.objects.named(name).get(name)


def detector_of(hunt: Hunt) -> str:
    """Return the detector whose version the filter names, if it names one."""
    asked = compile_sql(hunt.predicate, hunt.raw_thresholds)
    return next((name.rpartition(":")[0] for name in asked.versions), "") or next(iter(asked.detectors), "")


def known_look(fingerprint: str) -> Look | None:
    """Return the look of an item by its fingerprint, or by the key that look-alikes share."""
    items = Item.objects.select_related("record")
    # detectors and queues are few, and the indexes begin with them
    by_look = items.filter(detector__in=list(Detector.objects.values_list("pk", flat=True)), shape=fingerprint)
    by_case = items.filter(queue__in=list(Queue.objects.values_list("pk", flat=True)), fingerprint=fingerprint)
    found = list(by_look[:1]) or list(by_case[:1])  # in no order, which would walk all items
    return look_of(from_json(found[0].record.row)) if found else None


def _table(answers: dict[str, str]) -> pa.Table:
    """Return answers by session key (detection.sessions.session_key) as a table; a sensor's name may hold anything."""
    columns: dict[str, list[str | int | None]] = {name: [] for name in ANSWERS.names}
    for key, answer in answers.items():
        sensor, flow_id, tx_id, start = key.rsplit("|", 3)
        row = (sensor, int(flow_id), int(tx_id) if tx_id else None, int(start), answer)
        for name, value in zip(ANSWERS.names, row, strict=True):
            columns[name].append(value)
    return pa.table(columns, schema=ANSWERS)
