"""The page of experts: one's own figures first, others only as a whole, names for those who lead."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta

import pytest
from django.urls import reverse

from accounts.roles import Role
from labeling.models import AgreementFigure, ExpertFigure
from labeling.services import experts
from tests import factories

pytestmark = pytest.mark.django_db
NIGHT = date(2026, 3, 1)
URL = "labeling:experts"


@pytest.fixture
def detector():
    return factories.make_detector(name="ktalk")


def figure(detector, expert, day=NIGHT, **fields):
    defaults = {"labels": 214, "median_ms": 36_400, "p90_ms": 80_000, "shared": 100, "agreed": 93}
    return ExpertFigure.objects.create(detector=detector, expert=expert, day=day, **defaults | fields)


def agreed(detector, first=None, second=None, day=NIGHT, **fields):
    defaults = {"items": 100, "agreed": 93, "value": 0.81, "low": 0.7, "high": 0.9, "policy": {}}
    return AgreementFigure.objects.create(detector=detector, day=day, first=first, second=second, **defaults | fields)


@pytest.fixture
def night(detector, expert):
    """Two experts, measured one night."""
    other = factories.make_user(username="petrov")
    agreed(detector)
    agreed(detector, expert, other, items=7, agreed=6)
    figure(detector, expert, seeds=12, seeds_right=11, unique=9, false_positives=3)
    figure(detector, other, labels=77, shared=7)
    return other


def test_an_expert_sees_his_own_figures_first(night, expert_client):
    page = expert_client.get(reverse(URL)).text
    for told in ("214", "36 s", "80 s", "the same on 93 of 100", "11 of 12 right"):
        assert told in page, told
    assert page.index("nobody is ranked") < page.index("All experts")


def test_of_others_he_sees_only_the_whole(night, expert_client):
    page = expert_client.get(reverse(URL)).text
    assert "agree on <strong>93</strong> of 100" in page
    assert "alpha <strong>0.81</strong>" in page
    assert "[0.70 – 0.90]" in page
    assert "petrov" not in page
    assert "kappa <strong>" not in page


@pytest.mark.parametrize("role", ["senior", "administrator", "auditor"])
def test_those_who_lead_see_each_by_name_and_in_the_order_of_names(night, expert, role, request):
    page = request.getfixturevalue(f"{role}_client").get(reverse(URL)).text
    assert page.index(str(expert)) < page.index("petrov")
    assert "too few to tell (n 7)" in page
    assert "too few to tell: 7 items answered by two" in page


@pytest.mark.parametrize("role", ["support", "engineer"])
def test_others_have_no_business_here(night, role, request):
    assert request.getfixturevalue(f"{role}_client").get(reverse(URL)).status_code == 403


def test_only_the_last_night_is_told(night, detector, expert, expert_client):
    later = NIGHT + timedelta(days=1)
    agreed(detector, day=later, items=120, agreed=110)
    figure(detector, expert, day=later, labels=333)
    page = expert_client.get(reverse(URL)).text
    assert "333" in page
    assert "214" not in page
    assert "2026-03-02" in page


def test_before_the_first_night_the_page_says_what_fills_it(senior_client):
    page = senior_client.get(reverse(URL)).text
    assert "No night has measured yet" in page
    assert reverse("labeling:queues") in page


def test_where_all_answers_are_one_alpha_is_not_defined(detector, senior_client):
    agreed(detector, items=30, agreed=30, value=None, low=None, high=None)
    assert "alpha is not defined" in senior_client.get(reverse(URL)).text


def rows_of(client):
    answer = client.get(reverse("labeling:export-experts"))
    assert answer["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


def test_leaders_export_the_team_and_an_expert_himself(night, expert, expert_client, senior_client):
    assert [row["expert"] for row in rows_of(senior_client)] == [str(expert), "petrov"]
    (own,) = rows_of(expert_client)
    assert own["expert"] == str(expert)
    assert (own["labels"], own["median_ms"], own["seeds_right"]) == ("214", "36400", "11")


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)"])
def test_no_cell_of_the_export_is_a_formula(detector, senior_client, name):
    agreed(detector)
    figure(detector, factories.make_user(Role.EXPERT, username=name))
    (row,) = rows_of(senior_client)
    assert row["expert"] == f"'{name}"


def test_cells_that_break_lines_are_led_by_an_apostrophe_too():
    assert experts._harmless("\t=1") == "'\t=1"
    assert experts._harmless(None) == ""
    assert experts._harmless("ok") == "ok"


def test_the_page_takes_the_same_questions_for_many_experts(
    night, detector, senior_client, django_assert_max_num_queries
):
    for number in range(10):
        other = factories.make_user(username=f"e{number}")
        figure(detector, other)
        agreed(detector, night, other)
    with django_assert_max_num_queries(20):
        senior_client.get(reverse(URL))
