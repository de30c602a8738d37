"""Joe and Gerrard of the worked examples on the page of an entity: beside a quiet organisation, and a busy one."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.urls import reverse

from detection.adaptive import POLICY, Entities, organisation_curve
from detection.adaptive.check import fitted
from triage.models import Entity, RiskNight
from triage.services.risk import comparisons, organisations, states

pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 31)


def entities_of(histories: list[list[float]]) -> Entities:
    """Return histories, oldest first, as the night of DAY left them."""
    found = fitted(histories, POLICY)
    found.last[:] = DAY.toordinal()
    return found


def close(name: str, histories: list[list[float]], people: list[tuple[str, list[float]]]) -> dict[str, Entity]:
    """Let a night of an organisation stand that all but `people` shaped the habit of; return these."""
    organisation = organisations.make(name)
    shaped = entities_of(histories)
    path = f"risk/{organisation.slug}/state.arrow"
    RiskNight.objects.create(
        organisation=organisation, weights=organisation.weights, day=DAY, policy={}, budget=1.0, mode="tail",
        entities=len(people), surprises=b"", days_heard=90, state_path=path, seconds=0.0,
        curve=organisation_curve(shaped.counts, shaped.weight).tolist(),
        state_digest=states.put(path, entities_of([history for _name, history in people])),
    )  # fmt: skip
    return organisations.entities_of(organisation, [name for name, _history in people], DAY)


def test_joe_and_gerrard_stand_on_their_page_as_in_the_worked_examples(shared_data: Path, expert_client: Any) -> None:
    vectors = json.loads((shared_data.parent / "specs" / "vectors" / "adaptive_thresholds.json").read_text())
    examples = {(one["entity"], one["organisation"]): one for one in vectors["examples"]}
    people = [(name, examples[name, "quiet"]["history_oldest_first"]) for name in ("Gerrard", "Joe")]
    known = {
        where: close(where, vectors["organisations"][where]["history"], people if where == "quiet" else [])
        for where in ("busy", "quiet")
    }
    for name, entity in known["quiet"].items():
        lines = comparisons.of_entity(entity)
        assert [(line.organisation.name, line.is_own, line.is_newcomer) for line in lines] == [
            ("quiet", True, False), ("quiet", True, True), ("busy", False, False), ("busy", False, True),
        ]  # fmt: skip
        for line in lines:
            example = examples["newcomer" if line.is_newcomer else name, line.organisation.name]
            wanted = [example["thresholds"][str(q)] for q in comparisons.RARITIES]
            assert np.allclose(line.thresholds, wanted, rtol=1e-4)
            rare = {one["v"]: one["p"] for one in example["tail"]}
            assert np.allclose(
                np.array(line.days), [1 / rare[value] for value in comparisons.VALUES], rtol=1e-5, atol=0.51
            )
    page = expert_client.get(reverse("triage:entity", args=[known["quiet"]["Joe"].pk])).text
    table = page[page.index("The same past elsewhere") :]
    for threshold in ("0.24", "1.36", "4.51", "6.55", "21.00", "43.33", "2.31", "28.56"):
        assert f'<td class="number">{threshold}</td>' in table
    assert "1 in 1,158" in table  # a day above 1.5: 8.63e-4 in the quiet organisation
