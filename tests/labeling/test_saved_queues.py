"""A person's own queues: a filter and an order under a name, an address for good, work in that order."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.roles import Role
from labeling.models import Item, Label, SavedQueue
from labeling.services import saved_queues
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue():
    """A queue of four items of two hosts' titles; the last one has the largest group."""
    made = factories.make_queue()
    for number in range(4):
        host = "shop" if number % 2 else "bank"
        row = factories.make_row(flow_id=number)
        factories.make_session_item(
            made, row, title=f"GET {host}.example/{number}", priority=-number, sessions=number + 1
        )
    return made


def save(client, queue, name="shops", query="text=shop&order=largest"):
    return client.post(reverse("labeling:save-queue", args=[queue.slug]), {"name": name, "query": query}, follow=True)


def test_it_is_saved_with_filter_and_order_and_has_an_address_of_its_own(expert_client, expert, queue):
    page = save(expert_client, queue)
    saved = SavedQueue.objects.get()
    assert (saved.owner, saved.name, saved.query) == (expert, "shops", "text=shop&order=largest")
    assert reverse("labeling:saved-queue", args=[saved.pk]) in page.text
    assert [item.title for item in page.context["page"].items] == ["GET shop.example/3", "GET shop.example/1"]
    assert "Saved by you as “shops”" in page.text


def test_a_colleague_sees_the_same_as_a_shared_view_and_cannot_forget_it(expert, queue, senior_client, auditor_client):
    saved = saved_queues.save(expert, "shops", queue, "text=shop&order=largest")
    for client in (senior_client, auditor_client):
        page = client.get(reverse("labeling:saved-queue", args=[saved.pk]), follow=True)
        assert f"A shared view: “shops” of {expert}" in page.text
        assert len(page.context["page"].items) == 2
    assert senior_client.post(reverse("labeling:forget-queue", args=[saved.pk])).status_code == 404
    assert SavedQueue.objects.exists()


def test_work_goes_through_it_in_its_order(expert_client, expert, queue):
    saved = saved_queues.save(expert, "shops", queue, "text=shop&order=largest")
    expert_client.get(reverse("labeling:work", args=[queue.slug]) + f"?{saved.query}")
    assert Item.objects.get(claimed_by=expert).title == "GET shop.example/3"


def test_the_same_name_again_means_from_now_on_this(expert_client, queue):
    save(expert_client, queue)
    save(expert_client, queue, query="text=bank")
    assert SavedQueue.objects.get().query == "text=bank"
    save(expert_client, queue, name="others")
    assert SavedQueue.objects.count() == 2


@pytest.mark.parametrize(("name", "query"), [("", ""), ("x" * 61, ""), ("a\0", ""), ("x", "min=2"), ("x", "cell=none")])
def test_what_means_nothing_is_not_saved(expert_client, queue, name, query):
    assert "flash--error" in save(expert_client, queue, name=name, query=query).text
    assert not SavedQueue.objects.exists()


def test_there_is_an_end_to_them(expert, queue, monkeypatch):
    monkeypatch.setattr(saved_queues, "MOST", 1)
    saved_queues.save(expert, "one", queue, "")
    saved_queues.save(expert, "one", queue, "text=x")
    with pytest.raises(saved_queues.SavingRefused):
        saved_queues.save(expert, "two", queue, "")


def test_the_list_counts_own_answers_of_today_in_each(expert_client, expert, queue, answer):
    saved_queues.save(expert, "shops", queue, "text=shop")
    saved_queues.save(expert, "banks", queue, "text=bank")
    answer(Item.objects.get(title="GET shop.example/1"), expert, "positive")
    answer(Item.objects.get(title="GET shop.example/3"), factories.make_user(Role.EXPERT), "positive")
    assert Label.objects.count() == 2
    shown = {one.saved.name: one.answered_today for one in saved_queues.of(expert)}
    assert shown == {"shops": 1, "banks": 0}
    page = expert_client.get(reverse("labeling:queues")).text
    assert "shops" in page
    assert "<kbd>g</kbd> <kbd>1</kbd>" in page


def test_a_filter_that_is_not_understood_any_more_is_still_listed(expert):
    factories.make_saved_queue(owner=expert, query="cell=gone")
    assert len(saved_queues.of(expert)) == 1


def test_forgotten_it_is_gone(expert_client, expert, queue):
    saved = saved_queues.save(expert, "shops", queue, "")
    expert_client.post(reverse("labeling:forget-queue", args=[saved.pk]))
    assert not SavedQueue.objects.exists()


def test_a_name_is_shown_as_text(expert_client, queue):
    assert "<b>" not in save(expert_client, queue, name="<b>x</b>").text


@pytest.mark.django_db(transaction=True)
def test_g_and_a_digit_go_there(page, sign_in, expert, queue):
    saved_queues.save(expert, "shops", queue, "text=shop")
    tab = sign_in(expert)
    tab.goto("/")
    tab.keyboard.press("g")
    tab.keyboard.press("1")
    tab.wait_for_url(lambda url: "saved=" in url)
    assert tab.locator("main tbody tr").count() == 2
