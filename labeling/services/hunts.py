"""Hunts of experts: what models_registry.services.hunts answers, with what experts said of the sessions."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
from django.utils import timezone

from labeling.models import Answer, Item, SubjectKind
from models_registry.models import Version
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
    return hunts.prepare(text, now=now or timezone.now(), window=window, under_test=under_test, answers=ExpertAnswers())


def _table(answers: dict[str, str]) -> pa.Table:
    """Return answers by session key (detection.sessions.session_key) as a table; a sensor's name may hold anything."""
    columns: dict[str, list[str | int | None]] = {name: [] for name in ANSWERS.names}
    for key, answer in answers.items():
        sensor, flow_id, tx_id, start = key.rsplit("|", 3)
        row = (sensor, int(flow_id), int(tx_id) if tx_id else None, int(start), answer)
        for name, value in zip(ANSWERS.names, row, strict=True):
            columns[name].append(value)
    return pa.table(columns, schema=ANSWERS)
