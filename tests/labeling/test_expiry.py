"""Answers that hold for a time: what ends them, and the cheap re-check that follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from labeling.models import Item, ItemState, Label, Queue, ReferenceRow
from labeling.services import claims, details, expiry, labels, reference
from tests import factories
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
WEEK = timedelta(days=7)


def in_a_week() -> datetime:
    return timezone.now() + WEEK


def later(time: timedelta = WEEK) -> time_machine.travel:
    return time_machine.travel(timezone.now() + time + timedelta(minutes=1))


def test_an_answer_ends_when_its_time_is_over_and_its_item_is_asked_about_again(item, expert, senior, answer):
    answer(item, expert, "positive", expires_at=in_a_week())
    answer(item, senior, "positive")
    assert expiry.expire_answers() == 0
    assert Item.objects.get().state == ItemState.SETTLED
    with later():
        assert expiry.expire_answers() == 1
        assert expiry.expire_answers() == 0
        reopened = Item.objects.get()
        assert (reopened.state, reopened.outcome) == (ItemState.OPEN, "")
        assert reopened.recheck_at is not None
        assert [label.expert for label in Label.objects.current()] == [senior]
        ended = Label.objects.latest("id")
        assert (ended.answer, ended.expert, ended.note) == ("expired", expert, "its time was over")
        answer(item, expert, "positive")  # one answer settles it again
        assert (Item.objects.get().state, Item.objects.get().recheck_at) == (ItemState.SETTLED, None)
    assert Queue.objects.get().waiting == 0


def test_the_old_answer_is_told_after_the_new_one_only(item, expert, answer, expert_client):
    hour = timedelta(hours=1)
    answer(item, expert, "negative", reason_code="own-test", expires_at=timezone.now() + hour)
    with later(hour):
        expiry.expire_answers()
        shown = expert_client.get(reverse("labeling:work", args=[item.queue.slug])).text
        assert "re-check" in shown
        assert "had said" not in shown
        url = reverse("labeling:submit-label", args=[item.pk])
        assert f"{expert} had said “benign”" in expert_client.post(url, {"answer": "positive"}, headers=HTMX).text


def test_a_retired_version_ends_the_answers_about_its_items(item, expert, answer):
    answer(item, expert, "positive", expires_when="version-retires")
    assert expiry.expire_answers() == 0
    item.version.stage = "retired"
    item.version.save()
    assert expiry.expire_answers() == 1
    assert Label.objects.latest("id").note == "the version is retired"


def test_other_rules_of_the_detector_end_answers(item, expert, answer):
    answer(item, expert, "positive", expires_when="rule-set-changes")
    assert expiry.expire_answers() == 0
    factories.put_rules_in_force(item.detector, categories=["Other"])
    assert expiry.expire_answers() == 1


def test_another_rule_set_at_the_sensor_ends_answers(item, expert, answer):
    sensor, old, new = factories.make_sensor(name="core-1"), factories.make_rule_set(), factories.make_rule_set()
    factories.make_segment(sensor=sensor, rule_set=old, deleted_at=timezone.now())
    elsewhere = factories.make_segment(rule_set=old)
    answer(item, expert, "positive", expires_when="rule-set-changes")
    for sealed, rules in ((sensor, old), (elsewhere.sensor, new)):
        factories.make_segment(sensor=sealed, rule_set=rules, sealed_at=timezone.now())
        assert expiry.expire_answers() == 0
    factories.make_segment(sensor=sensor, rule_set=new, sealed_at=timezone.now())
    assert expiry.expire_answers() == 1


def test_the_reference_set_keeps_the_row_and_marks_it(item, expert, senior, answer):
    answer(item, expert, "positive", expires_at=in_a_week())
    answer(item, senior, "positive")
    reference.grow()
    assert ReferenceRow.objects.get().recheck_since is None
    with later():
        expiry.expire_answers()
        row = ReferenceRow.objects.in_force().get()
        assert row.recheck_since is not None
        assert "an answer expired: its time was over" in str(row.events.get(kind="flagged").details)
        answer(item, expert, "positive")
        assert reference.grow() == 0
        assert Item.objects.get().not_admitted == "pair-is-in"
        assert labels.undo(expert).answers == 1  # the row rests on the older answers


def test_a_superseded_answer_does_not_expire_again(item, expert, answer):
    answer(item, expert, "positive", expires_at=in_a_week())
    labels.undo(expert)
    with later():
        assert expiry.expire_answers() == 0


def test_proof_and_complaints_have_lasting_answers(expert, answer):
    proof = factories.make_proof_item()
    complaint = make_item(factories.make_queue(kind=Queue.Kind.COMPLAINT), reason="complaint")
    for item in (proof, complaint):
        answer(item, expert, "negative", expires_at=in_a_week(), expires_when="version-retires")
    assert set(Label.objects.values_list("expires_at", "expires_when")) == {(None, "")}


def test_what_has_expired_already_and_unknown_triggers_are_refused(held, expert):
    with pytest.raises(details.LabelRefused, match="expired already"):
        labels.submit(held, expert, "positive", expires_at=timezone.now())
    with pytest.raises(details.LabelRefused, match="ends no answer"):
        labels.submit(held, expert, "positive", expires_when="moon-is-full")


# the page


@pytest.mark.parametrize(
    ("sent", "at", "when"),
    [
        ({"expires": ""}, None, ""),
        ({"expires": "7"}, datetime(2026, 3, 8, 12, tzinfo=UTC), ""),
        ({"expires": "date", "expires_on": "2026-04-01"}, datetime(2026, 3, 31, 22, tzinfo=UTC), ""),
        ({"expires": "rule-set-changes"}, None, "rule-set-changes"),
        ({"expires": "", "expires_on": "2026-04-01"}, None, ""),
    ],
)
def test_the_page_says_until_when(sent, at, when, item, expert, expert_client):
    expert.time_zone = "Europe/Berlin"
    expert.save()
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False):
        claims.claim(item, expert)
        expert_client.post(reverse("labeling:submit-label", args=[item.pk]), {"answer": "positive"} | sent)
    label = Label.objects.get()
    assert (label.expires_at, label.expires_when) == (at, when)


@pytest.mark.parametrize("sent", [{"expires": "date"}, {"expires": "date", "expires_on": "x"}, {"expires": "8"}])
def test_nonsense_is_refused_with_422(sent, held, expert_client):
    url = reverse("labeling:submit-label", args=[held.pk])
    assert expert_client.post(url, {"answer": "positive"} | sent, headers=HTMX).status_code == 422
    assert not Label.objects.exists()
