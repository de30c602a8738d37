"""What a label of a queue costs, and where it is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from labeling.models import Label, QueuePrice
from labeling.services import prices
from labeling.templatetags.durations import lasting
from tests import factories


def answered(item, milliseconds, *, ago=timedelta(hours=1), expert=None):
    return Label.objects.create(
        item=item,
        detector=item.detector,
        subject_kind=item.subject_kind,
        subject_key=item.subject_key,
        expert=expert or factories.make_user(),
        answer="positive",
        milliseconds=milliseconds,
        created_at=timezone.now() - ago,
    )


@pytest.fixture
def priced(queue):
    """A queue with three settled items, two answers each: 30, 40 and 50 seconds, twice."""
    for seconds in (30, 40, 50):
        item = factories.make_item(queue=queue, state="settled", settled_at=timezone.now(), outcome="positive")
        answered(item, seconds * 1000)
        answered(item, seconds * 1000)
    prices.measure()
    return queue


@pytest.mark.django_db
def test_a_price_is_the_median_and_the_p90_of_thirty_days(priced):
    answered(factories.make_item(queue=priced), 999_000, ago=timedelta(days=31))
    answered(factories.make_item(queue=priced), None)  # nobody opened it: part of a group verdict
    assert prices.measure() == 1
    price = QueuePrice.objects.get()
    assert (price.labels, price.median_ms, price.p90_ms, price.per_item) == (6, 40_000, 50_000, 2.0)
    assert price.of(10) == timedelta(seconds=400)
    assert price.of_item == timedelta(seconds=80)


@pytest.mark.django_db
def test_a_queue_that_nobody_answers_any_more_has_no_price(priced):
    assert prices.measure(timezone.now() + timedelta(days=40)) == 0
    assert not QueuePrice.objects.exists()


@pytest.mark.django_db
def test_the_list_of_queues_tells_the_price(priced, expert_client):
    factories.make_item(queue=priced)
    page = expert_client.get(reverse("labeling:queues")).text
    assert "40 s" in page
    assert "2.0 answers per item" in page
    assert "10 answers ≈ 7 min" in page


@pytest.mark.django_db
def test_a_page_measures_nothing(queue, expert_client):
    answered(factories.make_item(queue=queue), 30_000)
    expert_client.get(reverse("labeling:queues"))
    expert_client.get(reverse("labeling:queue", args=[queue.slug]))
    assert not QueuePrice.objects.exists()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.84, "0.8 s"),
        (36, "36 s"),
        (99, "99 s"),
        (100, "2 min"),
        (360, "6 min"),
        (3_600, "1 h"),
        (4_200, "1 h 10 min"),
        (45_000, "12 h"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert lasting(timedelta(seconds=seconds)) == words
