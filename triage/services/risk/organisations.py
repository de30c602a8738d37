"""Organisations, what their features weigh, and how many alerts a day they want."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from traffic.models import Sensor
from triage.models import Entity, Organisation, RiskWeights, WatchedSensor


@transaction.atomic
def make(name: str, by: User | None = None, *, time_zone: str = "UTC", budget: float = 5.0) -> Organisation:
    """Add an organisation with weights of 1. Raises ValidationError."""
    organisation = Organisation(name=" ".join(name.split()), slug=slugify(name), time_zone=time_zone, budget=budget)
    organisation.full_clean(exclude=["created_at", "lift_asked_at"])
    organisation.save()
    RiskWeights.objects.create(organisation=organisation, number=1, by=by)
    audit.record(by, "organisation.created", organisation.name)
    return organisation


@transaction.atomic
def change_budget(organisation: Organisation, budget: float, floor: float, by: User | None) -> None:
    """Want other numbers of alerts; all thresholds may follow at once in the next night. Raises ValidationError."""
    locked = Organisation.objects.select_for_update().get(pk=organisation.pk)
    before = {"budget": locked.budget, "floor": locked.floor}
    if before == {"budget": budget, "floor": floor}:
        return
    locked.budget, locked.floor, locked.lift_asked_at = budget, floor, timezone.now()
    locked.full_clean(exclude=["created_at"])
    locked.save(update_fields=["budget", "floor", "lift_asked_at"])
    audit.record(by, "organisation.budget", locked.name, before=before, budget=budget, floor=floor)


@transaction.atomic
def change_weights(
    organisation: Organisation, weights: Mapping[str, float], groups: Mapping[str, str], by: User | None
) -> RiskWeights:
    """Let features weigh differently: the next night begins another history. Raises ValidationError."""
    wrong = [name for name, weight in weights.items() if not math.isfinite(weight) or weight < 0]
    if wrong:
        raise ValidationError(_("The weight of %(feature)s must be 0 or more.") % {"feature": wrong[0]})
    return _follow(organisation, by, weights=dict(weights), groups=dict(groups))


def change_versions(organisation: Organisation, versions: Mapping[str, int]) -> RiskWeights:
    """Let other versions of our own detectors count: their scores are not comparable, so a history begins anew."""
    return _follow(organisation, None, versions=dict(versions))


@transaction.atomic
def _follow(organisation: Organisation, by: User | None, **changed: dict[str, Any]) -> RiskWeights:
    """Return weights with other values; those in force when nothing differs."""
    locked = Organisation.objects.select_for_update().get(pk=organisation.pk)
    before = locked.weights
    values = {"weights": before.weights, "groups": before.groups, "versions": before.versions}
    if values == values | changed:
        return before
    after = RiskWeights.objects.create(organisation=locked, number=before.number + 1, by=by, **values | changed)
    audit.record(by, "organisation.weights", locked.name, number=after.number, **values | changed)
    return after


@transaction.atomic
def watch(sensor: Sensor, organisation: Organisation | None, networks: str, by: User | None) -> None:
    """Say to which organisation the hosts of a sensor belong, and which addresses are its hosts. None: to nobody.

    Raises ValidationError."""
    before = WatchedSensor.objects.select_for_update().filter(sensor=sensor).first()
    told = {"before": before.organisation.name if before else None, "networks": networks}
    if organisation is None:
        WatchedSensor.objects.filter(sensor=sensor).delete()
    else:
        row = before or WatchedSensor(sensor=sensor)
        row.organisation, row.networks, row.by, row.at = organisation, " ".join(networks.split()), by, timezone.now()
        row.full_clean(exclude=["by"], validate_unique=False)
        row.save()
    audit.record(by, "sensor.watched", sensor.name, organisation=organisation.name if organisation else None, **told)


def entities_of(organisation: Organisation, names: Iterable[str], since: date) -> dict[str, Entity]:
    """Return the entities of these names; who is new exists from the day `since` on. Call inside atomic()."""
    wanted = sorted(set(names))
    Organisation.objects.select_for_update().get(pk=organisation.pk)  # rows are given out by one process at a time
    known: dict[str, Entity] = {}
    for begin in range(0, len(wanted), 500):
        part = organisation.entities.filter(name__in=wanted[begin : begin + 500])
        known |= {entity.name: entity for entity in part}
    new = [name for name in wanted if name not in known]
    if new:
        top = organisation.entities.aggregate(top=Max("row"))["top"]
        first = 0 if top is None else top + 1
        made = Entity.objects.bulk_create(
            (
                Entity(organisation=organisation, name=name, row=first + index, since=since)
                for index, name in enumerate(new)
            ),
            batch_size=1000,
        )
        known |= {entity.name: entity for entity in made}
    return known


@transaction.atomic
def place(entity: Entity, by: User, *, peers: str, ceiling: float | None) -> None:
    """Say who is like an entity, and above which value it alerts at the latest. Raises ValidationError."""
    before = {"peers": entity.peers, "ceiling": entity.ceiling}
    entity.peers, entity.ceiling = " ".join(peers.split()), ceiling
    entity.full_clean(exclude=["created_at"])
    entity.save(update_fields=["peers", "ceiling"])
    audit.record(by, "entity.placed", str(entity), before=before, peers=entity.peers, ceiling=ceiling)
