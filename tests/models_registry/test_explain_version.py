"""What a version looks at: worked out by a job on samples of its training set and of each week, shown on its page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from detection.explain import contributions
from detection.insight import drift, insight
from models_registry.models import Insight, Version
from models_registry.services import insights, scoring, versions
from models_registry.tasks import start_explaining
from tests.models_registry.loop import first_version, http, make_loop, take_in
from traffic.models import Segment
from traffic.services import segments

pytestmark = pytest.mark.django_db
THEN = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # in the week after the log's day, a Sunday


@pytest.fixture
def version(tmp_path: Path) -> Version:
    found = make_loop(tmp_path)
    scoring.score_waiting()
    return found


@pytest.fixture
def explained(version: Version, run_jobs: Callable[[], int]) -> Version:
    with time_machine.travel(THEN, tick=False):
        assert insights.start_due() == 1
        run_jobs()
    return version


def page(client: Client, version: Version) -> str:
    url = reverse("models_registry:insight", args=[version.detector.name, version.number])
    answer = client.get(url)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_job_looks_at_the_training_set_and_at_each_week(explained: Version) -> None:
    found = {one.window: one for one in explained.insights.all()}
    assert set(found) == {"training", "2026-02-23"}
    assert found["2026-02-23"].sessions == 240
    assert found["2026-02-23"].verdicts > 0
    for one in found.values():
        assert sum(share["traffic"] for share in one.shares) == pytest.approx(1.0)
        assert [max(s["traffic"], s["verdicts"]) for s in one.shares] == sorted(
            (max(s["traffic"], s["verdicts"]) for s in one.shares), reverse=True
        )


def test_shares_are_means_of_exact_contributions(version: Version) -> None:
    segment = Segment.objects.get()
    rows = segments.read_rows(segment, range(30))
    every = np.ones(30, dtype=np.bool_)
    text, contract = versions.text_model(version), versions.contract(version)
    found = insight(text, version.text_digest, contract, rows, list(range(30)), ~every, every)
    one_by_one = [contributions(text, version.text_digest, contract, row) for row in rows]
    means: dict[str, float] = {}
    for told in one_by_one:
        for item in told.items:
            means[item.feature] = means.get(item.feature, 0.0) + abs(item.contribution) / 30
    total = sum(means.values())
    assert {s.name: s.traffic for s in found.shares} == pytest.approx({n: m / total for n, m in means.items() if m})
    strongest = max(range(30), key=lambda n: next(
        i.contribution for i in one_by_one[n].items if i.feature == found.shares[0].name
    ))  # fmt: skip
    assert found.examples[0].rid == strongest


def test_the_same_window_is_drawn_the_same_way(explained: Version, run_jobs: Callable[[], int]) -> None:
    before = list(explained.insights.values_list("window", "shares", "examples"))
    Insight.objects.all().delete()
    with time_machine.travel(THEN, tick=False):
        insights.start_due()
        run_jobs()
    assert list(explained.insights.values_list("window", "shares", "examples")) == before


def test_nothing_is_worked_out_twice_until_a_week_has_grown(
    explained: Version, tmp_path: Path, run_jobs: Callable[[], int]
) -> None:
    with time_machine.travel(THEN, tick=False):
        assert start_explaining() == 0
        take_in(tmp_path, [http(flow, "/new") for flow in range(1_000, 1_020)], name="more.eve.json")
        assert insights.start_due() == 0  # not every hour
    with time_machine.travel(THEN + timedelta(days=2), tick=False):
        assert insights.start_due() == 1
        run_jobs()
    assert explained.insights.get(window="2026-02-23").rows == 260


def test_a_segment_that_is_gone_hides_nothing_else(version: Version, run_jobs: Callable[[], int]) -> None:
    Segment.objects.update(sessions_path="segments/gone.parquet")
    with time_machine.travel(THEN, tick=False):
        insights.start_due()
        run_jobs()
    assert [one.window for one in version.insights.all()] == ["training"]


def test_the_page_shows_shares_examples_and_drift(explained: Version, auditor_client: Client) -> None:
    shown = page(auditor_client, explained)
    week = explained.insights.get(window="2026-02-23")
    assert week.shares[0]["title"].replace("'", "&#x27;") in shown
    assert reverse("labeling:session", args=[week.examples[0]["rid"]]) in shown
    assert "Drift since the training" in shown
    assert "union select" not in shown  # titles carry the shape of an address, never its text


def test_the_page_says_what_fills_it(version: Version, auditor_client: Client) -> None:
    assert "a job does it within the hour" in page(auditor_client, version)


def test_two_versions_are_compared_in_one_window(
    explained: Version, run_jobs: Callable[[], int], auditor_client: Client
) -> None:
    second = first_version(explained.detector)  # flagged background is no longer background: other rows
    with time_machine.travel(THEN, tick=False):
        insights.start_due()
        run_jobs()
    told = insights.picture(second)
    assert told is not None and told.other == explained
    assert told.drift is not None and 0 < told.drift < 1
    assert "is elsewhere than in http-attacks:1" in page(auditor_client, second)


def test_golden_drift() -> None:
    assert drift({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}) == 0.0
    assert drift({"a": 1.0}, {"b": 1.0}) == 1.0
    assert drift({"a": 0.75, "b": 0.25}, {"a": 0.5, "c": 0.5}) == pytest.approx(0.5)
