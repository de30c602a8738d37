"""What a training says of itself: what labels weigh, what it did not know, which complaints it leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detection.contract import HTTP_1
from detection.training import TrainedModel, TrainingPolicy, TrainingRows, group_of, train
from tests.detection.make_training_rows import make_training_rows

POLICY = TrainingPolicy(trees=20, source_trees=10, leaves=7)


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    """An attack a minute; three hosts, of which one is attacked alone by its own kind."""
    made = make_training_rows(240)
    groups = [group_of(f"{number // 4:064x}", f"192.0.2.{number % 3}") for number in range(240)]
    start = [1_700_000_000_000_000 + 60_000_000 * number for number in range(240)]
    return replace(made, group=groups, rows={**made.rows, "start": start})


@pytest.fixture(scope="module")
def model(rows: TrainingRows) -> TrainedModel:
    return train(rows, HTTP_1, POLICY)


def test_the_composition_names_every_origin_with_its_weight() -> None:
    label = np.array([1, 0] * 10 + [0] * 180, dtype=np.int8)
    origin = ["expert"] * 2 + ["dump"] * 2 + ["customer"] * 2 + ["rule"] * 14 + ["background"] * 180
    report = train(make_training_rows(200, origin=origin, label=label), HTTP_1, POLICY).report
    shares = {share.origin: share for share in report.composition}
    assert list(shares) == ["expert", "dump", "customer", "rule", "background"]
    assert (shares["expert"].positive, shares["expert"].negative, shares["expert"].trust) == (1, 1, 1.0)
    assert shares["background"].weight == pytest.approx(180 * 0.1)
    assert sum(share.tree_share for share in shares.values()) == pytest.approx(1.0)


def test_quiet_background_is_capped_in_a_tree_however_much_of_it_there_is() -> None:
    shares = []
    for background in (100, 1_000):
        label = np.array([1] * 20 + [0] * background, dtype=np.int8)
        rows = make_training_rows(20 + background, origin=["rule"] * 20 + ["background"] * background, label=label)
        shares.append(train(rows, HTTP_1, POLICY).report.composition[-1].tree_share)
    assert shares[0] == pytest.approx(shares[1])
    assert shares[0] == pytest.approx(20 * 0.1 / (20 * 0.3 + 20 * 0.1))


def test_rows_are_asked_about_by_models_that_knew_no_host_no_look_and_no_later_time(model: TrainedModel) -> None:
    report = model.report.to_dict()
    assert [one["kind"] for one in report["cross_validation"]] == ["look and host", "host", "look"]
    assert all(one["rows"] == 240 for one in report["cross_validation"])
    assert all(0.9 < one["average_precision"] <= 1.0 for one in report["cross_validation"])
    stretches = report["by_time"]
    assert [one["learnt_from"] for one in stretches] == [60, 120, 180]
    assert all(one["first"] <= one["last"] for one in stretches)
    assert stretches[0]["last"] < stretches[1]["first"]


def test_what_changes_with_time_is_seen_by_time_alone(rows: TrainingRows) -> None:
    """In the last quarter attacks turn into what was harmless, and the other way round."""
    late = np.arange(240) >= 180
    turned = replace(rows, label=np.where(late, 1 - rows.label, rows.label).astype(np.int8))
    report = train(turned, HTTP_1, POLICY).report.to_dict()
    assert report["by_time"][-1]["average_precision"] < 0.75  # the share of positives there: no better than a coin
    assert report["by_time"][0]["average_precision"] > 0.8


def test_one_host_leaves_nothing_to_ask_about(rows: TrainingRows) -> None:
    alone = replace(rows, group=[group_of(name.partition("|")[0], "192.0.2.1") for name in rows.group])
    kinds = {one["kind"]: one for one in train(alone, HTTP_1, POLICY).report.to_dict()["cross_validation"]}
    assert kinds["host"]["rows"] == 0
    assert kinds["look"]["rows"] == 240


def test_the_parameters_of_the_library_are_kept(model: TrainedModel) -> None:
    kept = model.report.to_dict()["parameters"]
    assert (kept["num_leaves"], kept["trees"], kept["deterministic"], kept["seed"]) == (7, 20, True, POLICY.seed)


def test_a_complaint_that_training_does_not_mend_is_named_with_the_price_of_a_threshold() -> None:
    """A customer's session that looks like an attack in every byte."""
    made = make_training_rows(240)
    attack = int(np.flatnonzero(made.label == 1)[0])
    rows = made.take(np.append(np.arange(240), attack))
    rows = replace(
        rows,
        label=np.append(made.label, 0).astype(np.int8),
        origin=["expert"] * 240 + ["customer"],
        source=[*made.source, "customer ACME"],
        key=[*made.key, "customer ACME|1|0|1"],
    )
    found = train(rows, HTTP_1, replace(POLICY, false_positive_cost=0.5)).report.complaints
    assert (found["rows"], found["flagged"]) == (1, 1)
    assert found["listed"][0]["source"] == "customer ACME"
    assert found["lost_then"] > found["lost_now"]
    assert found["positives"] == 60


def test_a_mended_complaint_is_counted(rows: TrainingRows) -> None:
    quiet = int(np.flatnonzero(rows.label == 0)[0])
    origin = ["customer" if number == quiet else "expert" for number in range(240)]
    assert train(replace(rows, origin=origin), HTTP_1, POLICY).report.complaints == {"rows": 1, "flagged": 0}
