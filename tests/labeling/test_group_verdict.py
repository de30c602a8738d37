"""One key for all look-alikes: what it answers, what it keeps as a check, and what that makes of the group."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.groups import CheckPolicy, draw_checks
from labeling.models import GroupCheck, GroupVerdict, Item, ItemState, Label, Queue, ReferenceRow
from labeling.services import claims, groups, labels, queues, reference
from labeling.services.details import Given, LabelRefused
from tests import factories
from tests.factories import make_row
from tests.factories import make_session_item as make_item

SHAPE = "a" * 64
POSITIVE, NEGATIVE = Given("positive", family="SQL injection"), Given("negative", "own-test", note="drill")


# the pure part


@pytest.mark.parametrize(("others", "kept"), [(0, 0), (1, 0), (2, 1), (19, 1), (21, 2), (100, 5), (5000, 5)])
def test_a_share_of_the_group_is_kept_between_one_and_five(others, kept):
    assert len(draw_checks(range(others), CheckPolicy(), Random(1))) == kept


@settings(deadline=None)  # a busy machine is no failure
@given(st.sets(st.integers(1, 10**6), max_size=150), st.integers())
def test_checks_are_members_and_the_same_lots_draw_the_same(others, seed):
    drawn = draw_checks(others, CheckPolicy(), Random(seed))
    assert drawn <= others
    assert len(others) == 0 or len(drawn) < len(others)
    assert drawn == draw_checks(sorted(others, reverse=True), CheckPolicy(), Random(seed))


def test_every_member_is_drawn_as_often():
    lots = Random(5)
    counts = [0] * 10
    for _ in range(5000):
        for one in draw_checks(range(10), CheckPolicy(), lots):
            counts[one] += 1
    assert all(430 < count < 570 for count in counts), counts


@pytest.mark.parametrize("wrong", [{"share": 1.1}, {"share": -0.1}, {"least": 3, "most": 2}, {"least": -1}])
def test_a_policy_without_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        CheckPolicy(**wrong)


# the service


def make_alike(detector, kinds, **fields):
    """Return one item per queue kind, all of one look, each from a host of its own."""
    made = []
    for number, kind in enumerate(kinds):
        queue = queues.queue_of(detector, kind)
        row = make_row(flow_id=number + 1, src_ip=f"10.1.4.{number + 1}")
        made.append(make_item(queue, row, shape=SHAPE, sessions=10, **fields))
    return made


KINDS = (Queue.Kind.UNIQUE, Queue.Kind.DISAGREEMENT, Queue.Kind.UNCERTAIN, Queue.Kind.MISSED)


@pytest.fixture
def alike(db):
    """Four open items of one look, in four queues of one detector."""
    return make_alike(factories.make_detector(), KINDS)


def claimed(item, by):
    assert claims.claim(item, by)
    return claims.items().get(pk=item.pk)


def give(item, by, given=POSITIVE, seed=1):
    return groups.submit(claimed(item, by), by, given, Random(seed))


@pytest.mark.django_db
class TestSubmit:
    def test_look_alikes_in_all_queues_inherit_and_one_is_kept(self, alike, expert):
        origin = give(alike[0], expert)
        heirs = Label.objects.filter(inherited_from=origin)
        assert heirs.count() == 2
        assert {(heir.answer, heir.family, heir.expert) for heir in heirs} == {("positive", "SQL injection", expert)}
        check = GroupCheck.objects.get()
        assert check.item in alike[1:]
        assert not check.item.labels.exists()
        told = GroupVerdict.objects.get()
        assert (told.items, told.checks, told.sessions, told.policy["share"]) == (3, 1, 30, 0.05)
        assert labels.answered_today(expert) == 1

    def test_the_preview_says_what_is_done(self, alike, expert):
        before = groups.preview(claimed(alike[0], expert), expert)
        give(alike[0], expert)
        assert (before.inherit, before.checks, before.sessions) == (2, 1, 30)

    def test_a_reason_is_kept_only_where_the_model_gave_a_verdict(self, expert):
        one, two = make_alike(factories.make_detector(), KINDS[:2])
        Item.objects.filter(pk=two.pk).update(cell="missed")
        give(one, expert, NEGATIVE)
        assert dict(Label.objects.values_list("item_id", "reason_code")) == {one.pk: "own-test", two.pk: ""}

    def test_proof_complaints_other_looks_and_other_detectors_are_never_touched(self, expert):
        detector = factories.make_detector()
        one, proof, complaint = make_alike(detector, [Queue.Kind.UNIQUE, Queue.Kind.PROOF, Queue.Kind.COMPLAINT])
        other = make_item(queues.queue_of(detector, Queue.Kind.MISSED))
        [elsewhere] = make_alike(factories.make_detector(), [Queue.Kind.UNIQUE])
        give(one, expert)
        assert list(Label.objects.values_list("item_id", flat=True)) == [one.pk]
        for apart in (proof, complaint):
            with pytest.raises(LabelRefused, match="of its own"):
                groups.submit(claimed(apart, expert), expert, POSITIVE)
        assert not other.labels.exists()
        assert not elsewhere.labels.exists()

    def test_items_held_by_others_settled_or_kept_before_are_left_alone(self, alike, expert, senior):
        give(alike[0], expert)
        kept = GroupCheck.objects.get().item
        third = make_item(queues.queue_of(alike[0].detector, Queue.Kind.DUMP), shape=SHAPE)
        claims.claim(third, senior)
        grace = factories.make_user()
        rest = next(item for item in alike[1:] if item != kept)
        give(rest, grace)  # kept ones are asked about singly, by whoever comes
        assert not kept.labels.exists()
        assert not third.labels.exists()
        assert Item.objects.filter(state=ItemState.SETTLED).count() == 3

    def test_two_group_verdicts_settle_the_group_and_counts_follow(self, alike, expert, senior):
        give(alike[0], expert)
        kept = GroupCheck.objects.get().item
        other = next(item for item in alike[1:] if item != kept)
        give(other, senior)
        for queue in Queue.objects.all():
            assert queue.waiting == queue.items.filter(state="open").count()

    def test_only_the_holder_may_answer_for_the_group(self, alike, expert, senior):
        held = claimed(alike[0], expert)
        with pytest.raises(labels.NotHolder):
            groups.submit(held, senior, POSITIVE)
        assert not Label.objects.exists()
        assert not GroupVerdict.objects.exists()


@pytest.fixture
def settled(alike, expert, senior):
    """A group that two experts answered with one key each; one look-alike is kept."""
    give(alike[0], expert)
    kept = GroupCheck.objects.get().item
    give(next(item for item in alike[1:] if item != kept), senior)
    return [item for item in alike if item != kept], kept


@pytest.mark.django_db
class TestCheck:
    def test_nothing_enters_the_reference_set_before_the_check(self, settled):
        assert reference.grow() == 0
        assert set(Item.objects.filter(state="settled").values_list("not_admitted", flat=True)) == {"check-waits"}

    def test_an_equal_answer_lets_the_group_in_within_the_limits(self, settled, answer):
        items, kept = settled
        Item.objects.filter(pk__in=[item.pk for item in items]).update(fingerprint="f" * 64)
        reference.grow()
        answer(kept, factories.make_user(), "positive")
        assert groups.collect_checks() == 2
        assert groups.collect_checks() == 0
        assert reference.grow() == 3  # of three hosts
        assert ReferenceRow.objects.filter(fingerprint="f" * 64).count() == 3

    def test_look_alikes_of_one_host_fill_one_place(self, expert, senior):
        detector = factories.make_detector()
        rows = [make_row(flow_id=number) for number in range(2)]
        kinds = (Queue.Kind.UNIQUE, Queue.Kind.DISAGREEMENT)
        one, two = (
            make_item(queues.queue_of(detector, kind), row, shape=SHAPE, fingerprint="f" * 64)
            for kind, row in zip(kinds, rows, strict=True)
        )
        give(one, expert)
        give(two, senior)
        assert reference.grow() == 1
        assert Item.objects.get(not_admitted="pair-is-in")

    def test_a_group_is_contested_in_parts_and_enters_nothing_meanwhile(self, settled, answer, monkeypatch):
        items, kept = settled
        answer(kept, factories.make_user(), "negative")
        monkeypatch.setattr(groups, "PART", 1)
        part = groups._contest_some
        with monkeypatch.context() as killed:
            killed.setattr(groups, "_contest_some", lambda pk: part(pk) and False)  # its process died after one
            groups.collect_checks()
        states = sorted(Item.objects.values_list("state", flat=True))
        assert states == ["conflict", "conflict", "settled", "settled"]  # a part for each of the two verdicts
        assert reference.grow() == 0
        groups.collect_checks()
        assert set(Item.objects.values_list("state", flat=True)) == {"conflict"}
        assert not GroupCheck.objects.unfinished().exists()
        assert groups.collect_checks() == 0
        assert sum(Queue.objects.values_list("conflicts", flat=True)) == len(items) + 1

    @pytest.mark.parametrize("different", ["negative", "undecided"])
    def test_a_differing_answer_sends_the_whole_group_to_a_senior(self, settled, different, answer, client):
        items, kept = settled
        answer(kept, factories.make_user(), different)
        assert groups.collect_checks() == 2
        assert set(Item.objects.values_list("state", flat=True)) == {"conflict"}
        assert reference.grow() == 0
        assert sum(Queue.objects.values_list("conflicts", flat=True)) == 4
        judge = factories.make_user("senior")
        client.force_login(judge)
        shown = client.get(reverse("labeling:work", args=[items[0].queue.slug])).text
        assert "kept as a check of a group or bulk verdict was answered differently" in shown
        Item.objects.update(claimed_by=None, claimed_until=None)
        answer(items[0], judge, "positive")
        assert Item.objects.get(pk=items[0].pk).outcome == "positive"
        labels.undo(judge)
        assert Item.objects.get(pk=items[0].pk).state == ItemState.CONFLICT
        answer(items[0], judge, "positive")
        assert reference.grow() == 1

    def test_the_check_is_not_answered_by_anothers_group_verdict(self, settled, expert):
        _items, kept = settled
        assert not kept.labels.exists()
        assert GroupCheck.objects.filter(item=kept, agreed=None).count() == 2  # it serves for both verdicts

    def test_a_kept_item_does_not_expire_unseen(self, settled):
        _items, kept = settled
        Item.objects.update(created_at=timezone.now() - timedelta(days=30))
        queues.expire()
        assert Item.objects.get(pk=kept.pk).state == ItemState.OPEN


@pytest.mark.django_db
class TestUndo:
    def test_a_group_verdict_is_undone_as_one(self, alike, expert):
        give(alike[0], expert)
        undone = labels.undo(expert)
        assert (undone.item, undone.answers, undone.kept) == (alike[0], 3, 0)
        assert not Label.objects.current().exists()
        assert not GroupCheck.objects.exists()
        assert labels.undo(expert) is None
        give(alike[0], expert)  # and can be given again
        assert Label.objects.current().count() == 3

    def test_what_is_in_the_reference_set_stays_and_is_told(self, expert, senior):
        one, two = make_alike(factories.make_detector(), KINDS[:2])
        give(one, expert)
        claimed(two, senior)
        labels.submit(two, senior, "positive")
        assert reference.grow() == 1
        undone = labels.undo(expert)
        assert (undone.answers, undone.kept) == (1, 1)
        assert "reference set" in undone.told
        assert Item.objects.get(pk=two.pk).state == ItemState.SETTLED

    def test_undoing_a_contested_group_ends_its_conflict(self, alike, expert, answer):
        give(alike[0], expert)
        kept = GroupCheck.objects.get().item
        answer(kept, factories.make_user(), "negative")
        groups.collect_checks()
        assert Item.objects.filter(state="conflict").count() == 4
        labels.undo(expert)
        assert set(Item.objects.values_list("state", flat=True)) == {"open"}
