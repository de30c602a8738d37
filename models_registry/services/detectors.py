"""Make detectors and say which sensors' rules speak about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from accounts import keys
from accounts.models import User
from accounts.services import audit
from detection.contract import CONTRACTS
from detection.rules import RuleMapping, covers
from models_registry.models import Detector, LedgerKind, RuleMappingVersion
from models_registry.services import ledger
from traffic.models import RuleSet
from traffic.services import rule_sets

FIELDS = (
    "protocol",
    "positive_class",
    "negative_class",
    "positive_key",
    "negative_key",
    "false_positive_cost",
)
SCHEDULE = {"hour": "retrain_hour", "weekday": "retrain_weekday", "labels": "retrain_labels", "days": "retrain_days"}
MOST_COST = 1e6  # missed detections for one false positive
TAKEN_NAMES = frozenset({"new"})  # addresses of ours


class DetectorError(ValueError):
    """A description of a detector that cannot be used; the message says what to change."""


class NeedsSecondPerson(DetectorError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The detector exists, and other rules or another price take a proposal and a second person."""


@transaction.atomic
def make_detector(spec: Mapping[str, Any], *, by: User | None = None) -> Detector:
    """Create the detector that `spec` describes; of one that exists only its words and schedule may differ.

    Raises DetectorError, ValidationError."""
    detector, mapping = _read(spec)
    known = Detector.objects.filter(name=detector.name).first()
    if known is None:
        detector.save()
        first = detector.mappings.create(number=1, mapping=mapping.to_dict(), digest=mapping.digest, made_by=by)
        audit.record(by, "detector.made", detector.name, rules=mapping.digest)
        ledger.record(LedgerKind.DETECTOR, detector, by=by, detector=detector)
        ledger.record(LedgerKind.MAPPING, first, by=by, detector=detector)
        return detector
    if known.protocol != detector.protocol:
        raise DetectorError(f"{known.name} is about {known.protocol}: another protocol is another detector")
    if "rules" in spec and mapping.digest != known.mapping.digest:
        raise NeedsSecondPerson(f"{known.name} has other rules in force: propose the change, a second person agrees")
    if "false_positive_cost" in spec and detector.false_positive_cost != known.false_positive_cost:
        raise NeedsSecondPerson(f"{known.name} has another cost in force: propose the change, a second person agrees")
    told = {*spec, *(SCHEDULE[name] for name in spec.get("schedule") or {})}
    for name in (*FIELDS, *SCHEDULE.values()):
        if name in told:
            setattr(known, name, getattr(detector, name))
    known.save()
    if set(FIELDS) & told:  # its words; a schedule decides nothing
        ledger.record(LedgerKind.DETECTOR, known, by=by, detector=known)
    return known


def change_schedule(detector: Detector, schedule: Mapping[str, Any], *, by: User) -> None:
    """Consider training at another hour, or for fewer labels. Raises DetectorError, ValidationError."""
    _set_schedule(detector, schedule)
    detector.full_clean(validate_unique=False)
    detector.save(update_fields=list(SCHEDULE.values()))
    audit.record(
        by, "detector.schedule", detector.name, **{name: getattr(detector, name) for name in SCHEDULE.values()}
    )


def _read(spec: Mapping[str, Any]) -> tuple[Detector, RuleMapping]:
    unknown = set(spec) - {"name", "rules", "schedule", *FIELDS}
    if unknown:
        raise DetectorError(f"unknown keys: {', '.join(sorted(map(str, unknown)))}")
    if not spec.get("name"):
        raise DetectorError("name is missing")
    if spec["name"] in TAKEN_NAMES:
        raise DetectorError(f"name: {spec['name']!r} is an address of ours")
    protocol = spec.get("protocol", "http")
    if protocol not in (known := protocols()):
        raise DetectorError(f"protocol {protocol!r} has no feature contract; known: {', '.join(known)}")
    detector = Detector(name=spec["name"], **{field: spec[field] for field in FIELDS if field in spec})
    if keys.refused(detector.positive_key, detector.negative_key):
        raise DetectorError(f"keys: two different ones, none of {' '.join(sorted(keys.TAKEN))}")
    _set_schedule(detector, spec.get("schedule") or {})
    detector.full_clean(validate_unique=False)
    check_cost(detector.false_positive_cost)
    return detector, read_mapping(spec.get("rules", {}))


def protocols() -> list[str]:
    """Return the protocols that a detector may be about."""
    return sorted({contract.name for contract in CONTRACTS.values()})


def read_mapping(values: Any) -> RuleMapping:
    """Read a rule mapping as people write it. Raises DetectorError."""
    if not isinstance(values, Mapping):
        raise DetectorError(f"rules: expected keys and values, got {values!r}")
    try:
        return RuleMapping.from_dict(values)
    except (TypeError, ValueError) as error:
        raise DetectorError(f"rules: {error}") from error


def check_cost(cost: float) -> float:
    """Return a price of a false positive that can be reckoned with. Raises DetectorError."""
    if not (math.isfinite(cost) and 0 < cost <= MOST_COST):
        raise DetectorError(f"false_positive_cost: expected a number above 0, at most {MOST_COST:g}, got {cost}")
    return cost


def _set_schedule(detector: Detector, schedule: Any) -> None:
    if not isinstance(schedule, Mapping) or set(schedule) - set(SCHEDULE):
        raise DetectorError(f"schedule: expected some of {', '.join(SCHEDULE)}")
    for name, value in schedule.items():
        setattr(detector, SCHEDULE[name], "" if name == "weekday" and value is None else value)


@dataclass(frozen=True, slots=True)
class RulesInForce:
    """A detector's rule mapping, ready to judge sessions."""

    version: RuleMappingVersion
    mapping: RuleMapping
    _known: dict[int | None, bool]

    def inspects(self, rule_set: RuleSet | None) -> bool:
        """Say whether a sensor with this rule set could have spoken about the detector's class.

        No rule set: unknown, so no. A declared one: when it holds a rule of the class. An inferred one: yes."""
        if rule_set is None:
            return False
        if rule_set.pk not in self._known:
            self._known[rule_set.pk] = not rule_set.declared or covers(self.mapping, rule_sets.rule_index(rule_set))
        return self._known[rule_set.pk]


def rules_in_force(detector: Detector) -> RulesInForce:
    """Return the newest rule mapping of a detector."""
    version = detector.mapping
    return RulesInForce(version, RuleMapping.from_dict(version.mapping), {})
