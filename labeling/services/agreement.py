"""Who agrees with whom: what the night counts of answers, and stores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from detection import agreement
from detection.agreement import ANSWERS, AgreementPolicy, Given
from labeling.models import AgreementFigure, ExpertFigure, Label, Question
from labeling.services import outcomes, seeds
from models_registry.models import Detector

POLICY = AgreementPolicy()


def measure(now: datetime | None = None) -> int:
    """Store tonight's figures of every detector that was answered in the window; return how many were."""
    now = now or timezone.now()
    return sum(_measured(detector, now) for detector in Detector.objects.order_by("pk"))


def _measured(detector: Detector, now: datetime) -> bool:
    since = now - timedelta(days=POLICY.window_days)
    answers = list(_given(detector, since))
    if not answers:
        return False
    with transaction.atomic():
        _store_agreement(detector, answers, now)
        _store_experts(detector, answers, since, now)
    return True


def _given(detector: Detector, since: datetime) -> Iterable[Given]:
    """Yield each expert's own answer to each item, as he gave it before he could know another's.

    Left out: what was withdrawn, expired, inherited from a group or bulk verdict, or decided over others. Of an item
    that came back with a question the answers before it count: else disagreement would vanish by being talked over."""
    asked = dict(Question.objects.filter(item__detector=detector).values_list("item_id", "asked_at"))
    own = Label.objects.own().filter(detector=detector, created_at__gte=since, adjudication=None)
    found: dict[tuple[int, int], str] = {}
    for item, expert, answer, at in (
        own.order_by("id").values_list("item_id", "expert_id", "answer", "created_at").iterator(chunk_size=10_000)
    ):
        if item in asked and at > asked[item]:
            continue
        if answer in ANSWERS:
            found[item, expert] = answer
        else:
            found.pop((item, expert), None)
    return (Given(item, expert, answer) for (item, expert), answer in found.items())


def _store_agreement(detector: Detector, answers: list[Given], now: datetime) -> None:
    # the same night's figures are the same figures
    random = np.random.default_rng([detector.pk, now.date().toordinal()])
    found = {(None, None): agreement.of_all(answers, POLICY, random)}
    found |= agreement.of_pairs(answers, POLICY, random)  # type: ignore[arg-type]  # pairs of numbers
    for (first, second), figure in found.items():
        AgreementFigure.objects.update_or_create(
            detector=detector,
            day=now.date(),
            first_id=first,
            second_id=second,
            defaults={
                "items": figure.items,
                "agreed": figure.agreed,
                "value": figure.value,
                "low": figure.low,
                "high": figure.high,
                "policy": POLICY.to_dict(),
                "measured_at": now,
            },
        )


@dataclass(slots=True)
class _Did:
    """What one expert did, as it is added up."""

    times: list[int] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def _store_experts(detector: Detector, answers: list[Given], since: datetime, now: datetime) -> None:
    did: dict[int, _Did] = defaultdict(_Did)
    labels = Label.objects.current().filter(detector=detector, created_at__gte=since, inherited_from=None)
    counted = (
        labels.order_by()
        .values("expert")
        .annotate(
            labels=Count("pk"),
            unique=Count("pk", filter=outcomes.found("unique")),
            false_positives=Count("pk", filter=outcomes.found("false-positive")),
        )
    )
    for row in counted:
        did[row["expert"]].figures = {name: value for name, value in row.items() if name != "expert"}
    timed = labels.filter(milliseconds__isnull=False).order_by().values_list("expert_id", "milliseconds")
    for expert, milliseconds in timed.iterator(chunk_size=10_000):
        did[expert].times.append(milliseconds or 0)
    for expert, (shared, agreed) in agreement.with_others(answers).items():
        if expert in did:
            did[expert].figures |= {"shared": shared, "agreed": agreed}
    for expert, (all_seeds, right) in seeds.counted(detector, since, now).items():
        did[expert].figures |= {"seeds": all_seeds, "seeds_right": right}
    for expert, done in sorted(did.items()):
        if done.times:
            median, p90 = (int(value) for value in np.quantile(done.times, (0.5, 0.9)))
            done.figures |= {"median_ms": median, "p90_ms": p90}
        ExpertFigure.objects.update_or_create(
            detector=detector, expert_id=expert, day=now.date(), defaults=done.figures
        )
