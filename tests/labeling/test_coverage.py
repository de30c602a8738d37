"""Coverage: counted by the clock when the set has changed, thin spots named with the queue that would fill them."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from labeling.models import Queue, ReferenceRow
from labeling.services import coverage, reference_changes
from tests import factories
from tests.factories import make_reference_row

pytestmark = pytest.mark.django_db


@pytest.fixture
def row():
    return make_reference_row(sensor="core-1", source="office", family="SQL injection", day=timezone.now().date())


def test_it_counts_what_gates_by_every_dimension(row, senior, engineer):
    queue = row.item.queue
    make_reference_row(item=factories.make_session_item(queue), role="forward")
    gone = make_reference_row(item=factories.make_session_item(queue))
    proposal = reference_changes.propose_retirement(gone, engineer, reason="mislabelled", note="x")
    reference_changes.approve(proposal, senior)
    assert coverage.count_all() == 1
    report = coverage.report(row.detector)
    assert report.coverage.rows == 1
    [line] = report.dimensions["sensor"]
    assert (line.name, line.positive.rows, line.negative) == ("core-1", 1, None)
    assert report.ages[0] == (0, 7, 1, 0)
    assert (report.thin_families, report.families) == (1, 1)


def test_it_counts_again_only_after_a_change_or_on_another_day(row, expert):
    assert [coverage.count_all(), coverage.count_all()] == [1, 0]
    reference_changes.flag(row, expert, "doubtful")
    assert coverage.count_all() == 1
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        assert coverage.count_all() == 1


def test_rows_of_every_age_are_in_one_bucket(row):
    today = timezone.now().date()
    for days in (6, 7, 8, 30, 89, 91, 400):
        make_reference_row(item=factories.make_session_item(row.item.queue), day=today - timedelta(days=days))
    coverage.count_all()
    assert [positive for _from, _to, positive, _negative in coverage.report(row.detector).ages] == [3, 2, 1, 1, 1]


def test_a_thin_spot_names_the_queue_that_would_fill_it(row, auditor_client):
    factories.make_segment(sensor=factories.make_sensor(name="dmz"))
    uncertain = factories.make_queue(detector=row.detector, kind=Queue.Kind.UNCERTAIN, slug="uncertain")
    factories.make_item(queue=uncertain)
    coverage.count_all()
    text = auditor_client.get(reverse("labeling:coverage", args=[row.detector.name])).text
    assert "dmz" in text
    assert f"{reverse('labeling:queue', args=['uncertain'])}?sensor=dmz" in text
    assert "1 of 1 family has fewer than 5 rows" in text


def test_the_page_takes_few_queries_and_never_counts_rows(row, auditor_client, django_assert_max_num_queries):
    coverage.count_all()
    with django_assert_max_num_queries(8) as queries:
        auditor_client.get(reverse("labeling:coverage", args=[row.detector.name]))
    assert not [one["sql"] for one in queries.captured_queries if ReferenceRow._meta.db_table in one["sql"]]


def test_before_the_first_count_the_page_says_so(auditor_client):
    page = auditor_client.get(reverse("labeling:coverage", args=[factories.make_detector().name]))
    assert "Not counted yet" in page.text
