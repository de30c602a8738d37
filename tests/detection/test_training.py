"""Training one version, through the real feature graph."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import pytest

from detection.contract import HTTP_1, encode
from detection.cross_validation import bins_of_sources as bins
from detection.cross_validation import fold_of_groups as folds
from detection.features import feature_specs
from detection.scoring import Scorer, check_model, features
from detection.thresholds import raw_threshold
from detection.training import (
    TrainedModel,
    TrainingImpossible,
    TrainingPolicy,
    TrainingRows,
    exclude,
    group_of,
    read_training_set,
    train,
    write_training_set,
)
from detection.training_policy import draws, is_scouting, prices, seen_by_every_tree, trust
from detection.training_report import explained_share, features_of_the_source, measure
from tests.detection.make_training_rows import make_training_rows

POLICY = TrainingPolicy(trees=20, source_trees=10, leaves=7)


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    return make_training_rows(240)


@pytest.fixture(scope="module")
def model(rows: TrainingRows) -> TrainedModel:
    return train(rows, HTTP_1, POLICY, {"training_set_digest": "ab" * 32})


def test_the_same_rows_give_the_same_bytes_in_any_order_and_with_any_workers(
    rows: TrainingRows, model: TrainedModel
) -> None:
    shuffled = rows.take(np.random.default_rng(5).permutation(len(rows)))
    again = train(shuffled, HTTP_1, replace(POLICY, workers=1), {"training_set_digest": "ab" * 32})
    assert again.text_model == model.text_model
    assert again.onnx_bytes == model.onnx_bytes
    assert again.threshold == model.threshold
    ours, theirs = again.report.to_dict(), model.report.to_dict()
    assert ours.pop("policy") | {"workers": 2} == theirs.pop("policy")
    assert ours == theirs


def test_a_frozen_training_set_trains_the_same_model(rows: TrainingRows, model: TrainedModel) -> None:
    again = train(read_training_set(write_training_set(rows)), HTTP_1, POLICY, {"training_set_digest": "ab" * 32})
    assert again.onnx_digest == model.onnx_digest


def test_another_seed_is_another_model(rows: TrainingRows, model: TrainedModel) -> None:
    assert train(rows, HTTP_1, replace(POLICY, seed=7)).text_digest != model.text_digest


def test_onnx_and_text_model_agree_bit_for_bit(rows: TrainingRows, model: TrainedModel) -> None:
    import lightgbm

    inputs = encode(HTTP_1, rows.rows)
    expected = lightgbm.Booster(model_str=model.text_model).predict(
        features(HTTP_1, inputs), raw_score=True, num_threads=1
    )
    np.testing.assert_array_equal(Scorer(model.onnx_bytes).raw(inputs), expected)


def test_the_onnx_is_one_that_we_would_accept_and_names_what_it_was_made_of(model: TrainedModel) -> None:
    check_model(model.onnx_bytes)
    metadata = Scorer(model.onnx_bytes).metadata
    assert metadata["text_digest"] == model.text_digest
    assert metadata["training_set_digest"] == "ab" * 32


def test_attacks_that_look_like_attacks_are_found(rows: TrainingRows, model: TrainedModel) -> None:
    raw = Scorer(model.onnx_bytes).raw(encode(HTTP_1, rows.rows))
    found = measure(raw, rows.label, raw_threshold(model.threshold))
    assert found.recall == 1.0
    assert found.precision == 1.0
    assert model.report.folds == 5
    assert model.report.out_of_fold.recall == 1.0


def test_the_report_is_plain_json_with_the_counts(model: TrainedModel) -> None:
    values = model.report.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["counts"]["positive"] == 60 and values["counts"]["negative"] == 180
    assert values["counts"]["groups"] == 120
    assert values["counts"]["origins"]["rule"] == {"positive": 60, "negative": 0}
    assert set(values["counts"]["sources"]) == {"alpha", "beta", "gamma"}
    assert values["threshold"]["threshold"] == model.threshold
    assert values["threshold"]["distance_raw"] == pytest.approx(
        values["threshold"]["raw"] - values["threshold"]["nearest_negative_raw"]
    )
    assert sum(feature["gain"] for feature in values["importance"]) == pytest.approx(1.0)


def test_every_source_is_measured_by_a_model_that_never_met_it(model: TrainedModel) -> None:
    left_out = model.report.to_dict()["leave_one_source_out"]
    assert left_out["models"] == 3
    assert [source["source"] for source in left_out["sources"]] == ["alpha", "beta", "gamma"]
    assert sum(source["positives"] + source["negatives"] for source in left_out["sources"]) == 240
    assert all(source["recall"] == 1.0 for source in left_out["sources"])  # the attacks look alike everywhere


def test_what_only_one_source_shows_is_not_found_when_it_is_left_out() -> None:
    rows = make_training_rows(240)
    label = np.array([int(source == "alpha" and index % 2) for index, source in enumerate(rows.source)], dtype=np.int8)
    ports = [4_444 if positive else 80 for positive in label]  # alpha's positives have nothing but their port
    uris = ["/"] * 240
    rows = replace(rows, label=label, rows={**rows.rows, "dst_port": ports, "uri": uris, "uri_decoded": uris})
    alpha, beta, _ = train(rows, HTTP_1, POLICY).report.to_dict()["leave_one_source_out"]["sources"]
    assert alpha["measured"] is False
    assert "without it one class is missing" in alpha["note"]
    assert beta["recall"] is None
    assert beta["note"].startswith("no positive rows")


def test_a_feature_that_knows_the_source_is_named(model: TrainedModel) -> None:
    named = {feature["name"]: feature for feature in model.report.to_dict()["source_features"]}
    assert named["dst_port"]["source_share"] == pytest.approx(1.0, abs=0.02)
    assert named["dst_port"]["class_share"] < 0.1
    assert next(iter(named)) == "dst_port"


def test_golden_shares_of_entropy() -> None:
    target = np.array([0, 1] * 500)
    assert explained_share(target, target) == pytest.approx(1.0, abs=0.001)
    assert explained_share(np.zeros(1_000, dtype=np.intp), target) == 0.0
    assert explained_share(np.repeat([0, 1], 500), target) == 0.0
    three_of_four = np.where(np.arange(1_000) // 2 % 4 < 3, target, 1 - target)
    assert explained_share(three_of_four, target) == pytest.approx(1 - 0.811278 - 0.0005 / np.log(2), abs=1e-6)


def test_noise_explains_neither_source_nor_class() -> None:
    draw = np.random.default_rng(0)
    noise = draw.random((2_000, 20), dtype=np.float32)
    noise[::7] = np.nan
    source = [f"s{number}" for number in draw.integers(0, 30, 2_000)]
    label = draw.integers(0, 2, 2_000).astype(np.int8)
    names = [(str(number), "") for number in range(20)]
    assert features_of_the_source(noise, names, label, source) == ()


def test_one_source_has_no_source_features(rows: TrainingRows) -> None:
    report = train(replace(rows, source=["only"] * 240), HTTP_1, POLICY).report
    assert report.source_features == ()
    assert report.left_out == ()
    assert any("One source only" in note for note in report.notes)


@pytest.mark.parametrize(("value", "name"), [(1, "no negative row"), (0, "no positive row")])
def test_one_class_is_refused_with_its_name(rows: TrainingRows, value: int, name: str) -> None:
    with pytest.raises(TrainingImpossible, match=f"{name} among 240"):
        train(replace(rows, label=np.full(240, value, dtype=np.int8)), HTTP_1, POLICY)


def test_no_rows_at_all_are_refused(rows: TrainingRows) -> None:
    with pytest.raises(TrainingImpossible, match="among 0"):
        train(rows.take(np.array([], dtype=np.intp)), HTTP_1, POLICY)


@pytest.mark.parametrize(
    ("label", "group"),
    [
        ([1, 0], ["a", "b"]),
        ([1, 0, 0, 0], ["a", "b", "c", "d"]),
        ([1, 1, 0, 0], ["a", "a", "a", "a"]),
        ([1, 1, 0, 0], ["a", "a", "b", "b"]),
        ([1, 0, 1, 0, 0], ["a", "a", "b", "b", "b"]),
    ],
)
def test_tiny_data_still_trains_and_says_what_its_figures_are(label: list[int], group: list[str]) -> None:
    count = len(label)
    tiny = make_training_rows(count, label=np.array(label, dtype=np.int8), group=group, source=["one"] * count)
    model = train(tiny, HTTP_1, POLICY)
    assert 0.0 < model.threshold < 1.0
    if model.report.folds == 0:
        assert "Too few groups" in model.report.notes[0]
    json.dumps(model.report.to_dict(), allow_nan=False)
    assert len(Scorer(model.onnx_bytes).raw(encode(HTTP_1, tiny.rows))) == count


def test_raising_the_cost_never_lowers_the_threshold() -> None:
    rows = make_training_rows(300)
    noisy = rows.label.copy()
    noisy[::9] = 1 - noisy[::9]
    rows = replace(rows, label=noisy, origin=["expert"] * 300)
    thresholds = [
        train(rows, HTTP_1, replace(POLICY, false_positive_cost=cost)).threshold for cost in (0.1, 1.0, 10.0, 1_000.0)
    ]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[-1]


def test_poisoned_hold_out_rows_change_nothing(rows: TrainingRows) -> None:
    holdout = set(rows.key[:40])
    pairs = {tuple(rows.group[index].split("|")) for index in range(200, 240)}
    clean = train(exclude(rows, holdout, pairs), HTTP_1, POLICY)  # type: ignore[arg-type]
    poisoned = rows.label.copy()
    hidden = [index for index in range(240) if index < 40 or index >= 200]
    poisoned[hidden] = 1 - poisoned[hidden]
    weight = rows.weight.copy()
    weight[hidden] = 1e6
    uri = ["/POISON" if index in hidden else text for index, text in enumerate(rows.rows["uri"])]
    bad = replace(rows, label=poisoned, weight=weight, rows={**rows.rows, "uri": uri})
    assert train(exclude(bad, holdout, pairs), HTTP_1, POLICY).onnx_bytes == clean.onnx_bytes  # type: ignore[arg-type]


def test_weights_follow_the_origin() -> None:
    label = np.array([1, 0] * 10 + [0] * 180, dtype=np.int8)
    rows = make_training_rows(200, origin=["expert"] * 2 + ["rule"] * 8 + ["background"] * 190, label=label)
    weight = trust(rows, TrainingPolicy())
    assert weight[0] / weight[2] == pytest.approx(1.0 / 0.3)
    assert weight[10] / weight[2] == pytest.approx(0.1 / 0.3)
    assert weight[1] == weight[0]


def test_every_tree_sees_all_positives_all_answers_and_background_drawn_anew() -> None:
    label = np.array([1, 0] * 10 + [0] * 180, dtype=np.int8)
    rows = make_training_rows(200, origin=["expert"] * 2 + ["rule"] * 8 + ["background"] * 190, label=label)
    always = seen_by_every_tree(rows)
    assert always.tolist() == [True, True] + [True, False] * 9 + [False] * 180
    first, second = draws(label, always, TrainingPolicy(), 2)
    for drawn in (first, second):
        assert len(drawn) == 11 + 10  # one of the background for each positive
        assert len(set(drawn)) == len(drawn)
        assert set(np.flatnonzero(always)) <= set(drawn)
    assert set(first) != set(second)
    ones = np.ones(200, dtype=np.int8)
    assert (
        len(draws(ones, np.zeros(200, dtype=bool), replace(TrainingPolicy(), background_per_positive=3), 1)[0]) == 200
    )


def test_few_answers_among_much_background_do_not_stop_the_training() -> None:
    """Answers were once drawn like background and weighted up: three trees of 300 grew, the rest found no split."""
    count, positives = 3_000, 12
    label = np.array([1] * positives + [0] * (count - positives), dtype=np.int8)
    origin = ["expert"] * 6 + ["rule"] * 6 + ["expert"] * 3 + ["background"] * (count - 15)
    rows = make_training_rows(count, label=label, origin=origin)
    model = lightgbm.Booster(model_str=train(rows, HTTP_1, TrainingPolicy()).text_model)
    assert model.num_trees() == 300
    assert min(tree["num_leaves"] for tree in model.dump_model()["tree_info"]) > 1


JUDGED = ["expert"] * 2 + ["rule"] * 8 + ["background"] * 90
BOTH = np.array([1, 0] * 50, dtype=np.int8)
ALONE = [group_of(str(number), "h") for number in range(100)]


def test_much_background_does_not_cheapen_a_false_positive() -> None:
    rows = make_training_rows(100, origin=JUDGED, label=BOTH, group=ALONE)
    assert set(prices(rows, TrainingPolicy()).round(6)) == {1.0, 0.3, 0.1}


def test_look_alikes_of_one_class_are_one_mistake() -> None:
    group = ["many"] * 50 + ALONE[50:]
    rows = make_training_rows(100, origin=["expert"] * 100, label=BOTH, group=group)
    price = prices(rows, TrainingPolicy())
    assert price[:50][BOTH[:50] == 0].sum() == pytest.approx(1.0)
    assert price[:50][BOTH[:50] == 1].sum() == pytest.approx(1.0)
    assert price[50:].tolist() == [1.0] * 50


def test_scouting_ends_when_persons_have_judged_both_classes() -> None:
    answers = make_training_rows(100, origin=JUDGED, label=BOTH, group=ALONE)
    one_sided = replace(answers, label=np.array([1, 1, *BOTH[2:]], dtype=np.int8))
    weak = replace(answers, origin=["rule"] * 10 + ["background"] * 90)
    assert [is_scouting(rows) for rows in (answers, one_sided, weak)] == [False, True, True]


def test_answers_end_the_scouting_and_raise_the_threshold() -> None:
    rows = make_training_rows(240)
    doubtful = rows.label.copy()
    doubtful[::8] = 1 - doubtful[::8]  # weak labels err
    weak = replace(rows, label=doubtful, origin=["rule" if one else "background" for one in doubtful])
    judged = replace(weak, origin=["expert" if index % 40 < 2 else name for index, name in enumerate(weak.origin)])
    scout, release = (train(found, HTTP_1, POLICY) for found in (weak, judged))
    assert any("scouting" in note for note in scout.report.notes)
    assert not any("scouting" in note for note in release.report.notes)
    assert release.threshold > scout.threshold


def test_background_that_resembles_attacks_is_not_learnt_by_heart() -> None:
    """Half of the attacks are unknown to the rules and stand among the background: most are found all the same."""
    rows = make_training_rows(480, attacks=0.25)
    is_attack = rows.label == 1
    known = is_attack & (np.arange(480) % 2 == 0)
    weak = replace(rows, label=known.astype(np.int8), origin=["rule" if one else "background" for one in known])
    model = train(weak, HTTP_1, replace(POLICY, scouting_questions=100))
    flagged = Scorer(model.onnx_bytes).raw(encode(HTTP_1, weak.rows)) >= raw_threshold(model.threshold)
    assert flagged[is_attack & ~known].mean() > 0.3
    assert flagged[~is_attack].mean() < 0.05


def test_origins_weigh_less_the_less_they_know() -> None:
    policy = TrainingPolicy()
    order = [policy.weight_of(origin) for origin in ("expert", "dump", "customer", "rule", "background")]
    assert order == sorted(order, reverse=True) and len(set(order)) == 5


def test_folds_keep_groups_whole_and_give_each_fold_positives() -> None:
    group = [group_of(f"s{number // 4}", "h") for number in range(200)]
    label = np.array([int(number < 40) for number in range(200)], dtype=np.int8)
    fold = folds(group, label, 5, 1)
    assert fold is not None
    assert set(fold.tolist()) == {0, 1, 2, 3, 4}
    assert all(len(set(fold[index : index + 4].tolist())) == 1 for index in range(0, 200, 4))
    assert [int(label[fold == number].sum()) for number in range(5)] == [8] * 5


def test_folds_need_two_groups_of_each_class() -> None:
    assert folds(["a", "a", "b", "c"], np.array([1, 1, 0, 0], dtype=np.int8), 5, 1) is None
    assert folds(["a", "b", "c", "d"], np.array([1, 1, 0, 0], dtype=np.int8), 5, 1) is not None


def test_many_sources_are_left_out_in_bins_of_equal_size() -> None:
    source = [f"s{number}" for number in range(50) for _ in range(number + 1)]
    found = bins(source, 8)
    assert sorted(name for names in found for name in names) == sorted(set(source))
    sizes = [sum(source.count(name) for name in names) for names in found]
    assert len(sizes) == 8
    assert max(sizes) - min(sizes) <= 50
    assert bins(["a", "a", "b"], 8) == [["a"], ["b"]]


def test_sources_in_one_bin_say_so(rows: TrainingRows) -> None:
    many = replace(rows, source=[f"s{number % 12}" for number in range(240)])
    left_out = train(many, HTTP_1, replace(POLICY, source_models=4)).report.to_dict()["leave_one_source_out"]
    assert left_out["models"] == 4
    assert len(left_out["sources"]) == 12
    assert all(source["note"] == "left out together with 2 other sources" for source in left_out["sources"])


def test_the_columns_of_the_model_are_the_features_of_the_contract(model: TrainedModel) -> None:
    line = next(line for line in model.text_model.splitlines() if line.startswith("feature_names="))
    assert line.removeprefix("feature_names=").split(" ") == [spec.name for spec in feature_specs(HTTP_1)]


def test_lightgbm_is_loaded_only_when_somebody_trains() -> None:
    """And scipy.stats never, which takes longer to load than all the rest: two functions of scipy.special do."""
    import subprocess

    code = "import sys, detection.training; sys.exit(bool({'lightgbm', 'scipy.stats'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_policy_is_stored_with_the_report(model: TrainedModel) -> None:
    stored: dict[str, Any] = model.report.to_dict()["policy"]
    assert stored == POLICY.to_dict()
    assert stored["version"] == 3
