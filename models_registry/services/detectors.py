"""Make detectors and say which sensors' rules speak about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from detection.contract import CONTRACTS
from detection.rules import RuleMapping, covers
from models_registry.models import Detector, RuleMappingVersion
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


class DetectorError(ValueError):
    """A detector file that cannot be used; the message says what to change."""


@transaction.atomic
def make_detector(spec: Mapping[str, Any]) -> Detector:
    """Create the detector that `spec` describes, or bring it up to date.

    A changed rule mapping becomes a new mapping version; the old ones stay. Raises DetectorError.
    """
    unknown = set(spec) - {"name", "rules", *FIELDS}
    if unknown:
        raise DetectorError(f"unknown keys: {', '.join(sorted(unknown))}")
    if not spec.get("name"):
        raise DetectorError("name is missing")
    protocol = spec.get("protocol", "http")
    known = sorted({contract.name for contract in CONTRACTS.values()})
    if protocol not in known:
        raise DetectorError(f"protocol {protocol!r} has no feature contract; known: {', '.join(known)}")
    try:
        mapping = RuleMapping.from_dict(spec.get("rules", {}))
    except (TypeError, ValueError) as error:
        raise DetectorError(f"rules: {error}") from error
    detector = Detector(name=spec["name"], **{field: spec[field] for field in FIELDS if field in spec})
    detector.full_clean(validate_unique=False)
    detector, _ = Detector.objects.update_or_create(
        name=detector.name, defaults={field: getattr(detector, field) for field in FIELDS}
    )
    newest = detector.mappings.order_by("-number").first()
    if newest is None or newest.digest != mapping.digest:
        detector.mappings.create(
            number=newest.number + 1 if newest else 1, mapping=mapping.to_dict(), digest=mapping.digest
        )
    return detector


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
