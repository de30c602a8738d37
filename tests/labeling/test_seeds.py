"""Blind seeds: settled cases among an expert's items. He cannot tell them, and only his own figures count them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from detection import seeds as science
from detection.seeds import SeedPolicy
from labeling.models import ExpertFigure, Item, ItemState, Queue, ReferenceRow, Seed
from labeling.services import agreement, claims, labels, queues, reference, retraining, seeds
from tests import factories
from tests.factories import make_session_item

HTMX = {"HX-Request": "true"}
LATER = labels.UNDO_WITHIN + timedelta(minutes=1)


# the pure part


def test_lots_fall_as_often_as_the_policy_says_and_always_the_same():
    policy = SeedPolicy()
    due = [item for item in range(20_000) if science.is_due(b"key", 7, item, policy)]
    assert 0.035 < len(due) / 20_000 < 0.045
    assert due == [item for item in range(20_000) if science.is_due(b"key", 7, item, policy)]
    assert due != [item for item in range(20_000) if science.is_due(b"other", 7, item, policy)]
    assert not set(due) <= {item for item in range(20_000) if science.is_due(b"key", 8, item, policy)}


def test_a_choice_is_by_lots_of_the_expert():
    assert science.choose(b"key", 7, range(50), 5) == science.choose(b"key", 7, reversed(range(50)), 5)
    assert science.choose(b"key", 7, range(50), 5) != science.choose(b"key", 8, range(50), 5)


def test_a_share_is_small():
    with pytest.raises(ValueError, match="share"):
        SeedPolicy(share=0.5)


# the service


@pytest.fixture
def always(monkeypatch):
    """Every item has a seed before it."""
    monkeypatch.setattr(seeds, "POLICY", SeedPolicy(share=0.2))
    monkeypatch.setattr(science, "is_due", lambda *_lot: True)


@pytest.fixture
def alike(queue):
    """What all items here have in common."""
    return {
        "version": factories.make_version(detector=queue.detector),
        "title": "GET intranet.example/x",
        "sessions": 312,
    }


@pytest.fixture
def settled(queue, answer, alike):
    """Three cases of the reference set, settled by others."""
    others = factories.make_user(username="petrov"), factories.make_user(username="orlov")
    items = []
    for number in range(3):
        item = make_session_item(queue, factories.make_row(flow_id=number, src_ip=f"10.1.5.{number}"), **alike)
        for other in others:
            answer(item, other, "negative" if number else "positive")
        items.append(item)
    reference.grow()
    assert ReferenceRow.objects.count() == 3
    return items


@pytest.fixture
def at_work(queue, expert, answer):
    """An answer by which the expert is known to work on the queue."""
    return answer(make_session_item(queue, priority=99), expert, "positive")


@pytest.fixture
def seeded(settled, at_work, always, queue, expert, alike):
    """An expert for whom seeds are ready, and one ordinary item."""
    assert seeds.prepare() == 3
    return make_session_item(queue, priority=50, **alike)


@pytest.mark.django_db
class TestSeeds:
    def test_a_seed_comes_before_the_item_and_then_the_item(self, seeded, queue, expert):
        given = claims.claim_next(queue, expert)
        assert given.state == ItemState.SEED
        assert (given.seed.instead_of, given.seed.policy["share"]) == (seeded, 0.2)
        assert Item.objects.get(pk=seeded.pk).holder is None
        assert claims.claim_next(queue, expert) == given  # a reload changes nothing
        labels.submit(given, expert, "positive")
        assert claims.claim_next(queue, expert) == seeded

    def test_a_seed_that_was_passed_on_does_not_come_back(self, seeded, queue, expert):
        assert claims.skip(claims.claim_next(queue, expert), expert)
        assert claims.claim_next(queue, expert) == seeded

    def test_nobody_else_is_given_it(self, seeded, queue, expert, senior):
        assert claims.claim_next(queue, senior).state == ItemState.OPEN
        seed = Seed.objects.first()
        assert not claims.claim(seed.item, senior)
        assert claims.claim(seed.item, expert)

    def test_an_answer_changes_no_count_no_state_and_no_reference(self, seeded, queue, settled, expert):
        rows, news = ReferenceRow.objects.count(), retraining.new_gate_worthy(queue.detector)
        waiting = Queue.objects.get().waiting
        given = claims.claim_next(queue, expert)
        labels.submit(given, expert, "negative", reason_code="own-test")
        answered = Item.objects.get(pk=given.pk)
        assert (answered.state, answered.outcome, answered.claimed_by) == (ItemState.SEED, "", None)
        assert Queue.objects.get().waiting == waiting
        assert queues.recount() == 0
        assert reference.grow() == 0
        assert ReferenceRow.objects.count() == rows
        assert retraining.new_gate_worthy(queue.detector) == news
        assert labels.answered_today(expert) == 2

    def test_an_undo_brings_it_back_as_any_item(self, seeded, queue, expert):
        given = claims.claim_next(queue, expert)
        labels.submit(given, expert, "negative")
        assert labels.undo(expert).item == given
        assert claims.claim(Item.objects.get(pk=given.pk), expert)
        labels.submit(Item.objects.get(pk=given.pk), expert, "positive")

    def test_own_cases_and_their_looks_are_no_seeds(self, queue, expert, senior, answer, at_work, always):
        item = make_session_item(queue)
        answer(item, expert, "negative")
        answer(item, senior, "negative")
        reference.grow()
        assert seeds.prepare() == 0

    def test_who_does_not_work_on_the_queue_has_none(self, settled, always):
        seeds.prepare()
        assert set(Seed.objects.values_list("expert__username", flat=True)) == set()

    def test_neither_proof_nor_complaints_have_seeds(self, seeded, expert):
        for kind in seeds.NEVER:
            queue = factories.make_queue(kind=kind, slug=f"q-{kind}")
            assert seeds.in_place_of(seeded.pk, queue, expert) is None

    def test_cases_older_than_two_weeks_would_show(self, settled, at_work, always):
        Item.objects.update(created_at=timezone.now() - timedelta(days=15))
        assert seeds.prepare() == 0

    def test_preparing_twice_makes_no_more(self, seeded):
        assert seeds.prepare() == 0
        assert Seed.objects.count() == 3

    def test_a_filtered_walk_has_none(self, seeded, queue, expert):
        wanted = claims.ItemFilter(text="intranet")
        assert claims.claim_next(queue, expert, wanted) == seeded

    def test_the_result_is_told_when_no_answer_can_be_undone(self, seeded, queue, expert, expert_client):
        given = claims.claim_next(queue, expert)
        wrong = "positive" if given.seed.expected == "negative" else "negative"
        labels.submit(given, expert, wrong)
        agreement.measure()
        assert ExpertFigure.objects.get(expert=expert).seeds == 0
        assert "Seeds you answered differently" not in expert_client.get(reverse("labeling:experts")).text
        with time_machine.travel(timezone.now() + LATER):
            agreement.measure()
            figure = ExpertFigure.objects.get(expert=expert, seeds=1)
            assert (figure.seeds_right, figure.seeds_missed) == (0, 1)
            expert_client.force_login(expert)
            page = expert_client.get(reverse("labeling:experts")).text
        assert "Seeds you answered differently" in page
        assert reverse("labeling:item", args=[given.seed.original_id]) in page

    def test_a_seed_looks_like_the_item_beside_it(self, seeded, queue, expert, expert_client):
        """Byte for byte, but for what names the item and its sessions."""
        pages = []
        for _turn in range(2):
            page = expert_client.get(reverse("labeling:work", args=[queue.slug])).text
            item = Item.objects.get(claimed_by=expert)
            assert reverse("labeling:submit-label", args=[item.pk]) in page
            pages.append(plain(page, item))
            claims.skip(item, expert)
        assert pages[0] == pages[1]

    def test_lists_do_not_show_it(self, seeded, queue, expert, expert_client):
        given = claims.claim_next(queue, expert)
        claims.release(given, expert)
        for state in ("", "open", "any", "settled", "seed"):
            page = expert_client.get(reverse("labeling:queue", args=[queue.slug]), {"state": state})
            assert reverse("labeling:item", args=[given.pk]) not in page.text
        assert "seed" not in expert_client.get(reverse("labeling:queue", args=[queue.slug])).text.lower()

    def test_among_ones_answers_it_waits_like_any_other(self, seeded, queue, expert, expert_client):
        given = claims.claim_next(queue, expert)
        labels.submit(given, expert, "positive")
        page = expert_client.get(reverse("labeling:answers")).text
        assert page.count("waits for a second answer") == 2
        assert "seed" not in page.lower()
        page = expert_client.get(reverse("labeling:item", args=[given.pk])).text
        assert "seed" not in page.lower()

    @pytest.mark.parametrize(("agrees", "told"), [(True, "you agree with it"), (False, "you answered differently")])
    def test_ones_answers_tell_of_it_once_it_cannot_be_undone(self, seeded, queue, expert, expert_client, agrees, told):
        given = claims.claim_next(queue, expert)
        right = given.seed.expected
        other = "positive" if right == "negative" else "negative"
        labels.submit(given, expert, right if agrees else other)
        with time_machine.travel(timezone.now() + LATER):
            expert_client.force_login(expert)
            page = expert_client.get(reverse("labeling:answers")).text
        assert told in page
        assert page.count("asked once more") == 1
        assert reverse("labeling:item", args=[given.seed.original_id]) in page


def plain(page: str, item: Item) -> str:
    """Return a page without what names its item."""
    page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"|nonce="[^"]+"|hx-headers=\'[^\']+\'', "", page)
    page = re.sub(r"held until.*?</time>", "", page, flags=re.DOTALL)
    page = page.replace(f"/items/{item.pk}/", "/items/N/").replace(f'value="{item.pk}"', 'value="N"')
    return re.sub(r"10\.1\.[45]\.\d+", "N", page)
