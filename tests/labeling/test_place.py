"""How an item got its place in its queue: stored with its cause, explained part by part, raised when more is known."""

from __future__ import annotations

import pytest
from django.urls import reverse

from labeling.models import Item, ItemState, PriorityRaise
from labeling.services import claims, priorities
from labeling.services.routing import POLICY, route_waiting
from tests import factories
from tests.factories import make_item, make_proof_item, make_row, make_session_item, make_version
from tests.labeling.conftest import eve_record, make_scores

pytestmark = pytest.mark.django_db


@pytest.fixture
def routed(make_segment):
    """An item that routing made of eight sessions of seven hosts."""
    make_scores(
        make_version(threshold=0.7), make_segment([eve_record(n) for n in range(9)]), dict.fromkeys(range(8), 2.0)
    )
    route_waiting()
    return Item.objects.select_related("raised_by").get()


def shown(client, item):
    return client.get(reverse("labeling:place", args=[item.pk])).text


def test_the_parts_add_up_to_the_stored_number(routed):
    place = priorities.explained(routed)
    assert place.number == pytest.approx(routed.priority)
    assert routed.cause == place.cause == "margin"
    assert routed.policy_version == POLICY.version


def test_an_old_choice_is_explained_by_the_policy_of_its_day(routed):
    old = POLICY.to_dict() | {"version": 1, "weight_hosts": 3.0}
    routed.decision["policy"] = old
    routed.priority = priorities.place(routed, POLICY).number
    place = priorities.explained(routed)
    assert (place.cause, place.number) == ("hosts", pytest.approx(routed.priority))


def test_the_page_tells_the_cause_and_the_policy(routed, expert_client):
    page = expert_client.get(reverse("labeling:item", args=[routed.pk])).text
    assert "by its score" in page
    assert f"policy {POLICY.version}" in page
    told = shown(expert_client, routed)
    for word in ("7 hosts, on a logarithmic scale", "8 sessions", f"{routed.priority:.4f}", "threshold 0.7000 to 1"):
        assert word in told, word


def test_the_list_of_a_queue_tells_number_and_cause(routed, expert_client):
    page = expert_client.get(reverse("labeling:queue", args=[routed.queue.slug])).text
    assert f"{routed.priority:.2f}" in page
    assert "by its score" in page


def test_a_number_without_its_figures_is_not_explained_away(queue, expert_client):
    item = make_session_item(queue, priority=9.0, decision={"score": 0.9, "threshold": 0.7, "policy": POLICY.to_dict()})
    assert priorities.explained(item) is None
    assert "are not kept" in shown(expert_client, item)


def test_a_complaint_goes_by_its_deadline(queue, expert_client):
    item = make_session_item(queue, reason="complaint", cause="deadline", priority=1e9)
    assert "the nearest first" in shown(expert_client, item)


def test_a_drawn_session_keeps_its_place_to_itself(expert_client):
    queue = factories.make_queue(kind="proof", slug="drawn")
    item = make_proof_item(queue, make_row(), cause="lot")
    assert expert_client.get(reverse("labeling:place", args=[item.pk])).status_code == 403
    assert "traffic" not in expert_client.get(reverse("labeling:queue", args=[queue.slug])).text.split("<tbody>")[1]


# what comes to be known later


def raised(version, cause="incident 12", amount=priorities.INCIDENT):
    return priorities.raise_items(version, cause, amount)


def test_an_incident_raises_what_waits_and_nothing_else(queue, expert):
    version, other = make_version(detector=queue.detector), make_version(detector=queue.detector)
    first = make_item(queue=queue, version=other, priority=2.0)
    waiting = make_item(queue=queue, version=version, priority=0.5)
    settled = make_item(queue=queue, version=version, priority=0.5, state=ItemState.SETTLED)
    raised(version)
    assert priorities.follow() == 1
    assert claims.claim_next(queue, expert) == waiting
    places = dict(Item.objects.values_list("pk", "priority"))
    assert places == {first.pk: 2.0, waiting.pk: 5.5, settled.pk: 0.5}
    assert Item.objects.get(pk=waiting.pk).cause_name == "raised: incident 12"


def test_following_twice_and_saying_it_twice_changes_nothing(queue):
    item = make_item(queue=queue, priority=0.5)
    assert raised(item.version) == raised(item.version)
    assert (priorities.follow(), priorities.follow()) == (1, 0)


def test_the_strongest_of_several_counts_and_what_is_lifted_is_taken_back(queue):
    item = make_item(queue=queue, priority=0.5)
    raised(item.version, "incident 1", 2.0), raised(item.version, "incident 2", 3.0)

    def place():
        priorities.follow()
        return Item.objects.get().priority

    assert place() == 3.5
    assert priorities.lift(item.version, "incident 2")
    assert place() == 2.5
    assert priorities.lift(item.version, "incident 1")
    assert place() == 0.5
    assert not priorities.lift(item.version, "incident 1")
    assert PriorityRaise.objects.count() == 2


def test_new_items_of_a_raised_version_are_raised_and_explained(make_segment, expert_client):
    version = make_version(threshold=0.7)
    raised(version)
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    item = Item.objects.get()
    assert (item.cause, priorities.follow()) == ("raised", 0)
    assert priorities.explained(item).number == pytest.approx(item.priority)
    assert item.priority > priorities.INCIDENT
    assert "incident 12" in shown(expert_client, item)
