"""The night counts who agrees with whom: which answers count, and what it stores."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.roles import Role
from labeling.models import Adjudication, AgreementFigure, Answer, ExpertFigure, Label, Question
from labeling.services import agreement
from tests import factories

pytestmark = pytest.mark.django_db

P, N, U = Answer.POSITIVE, Answer.NEGATIVE, Answer.UNDECIDED


@pytest.fixture
def pair():
    return factories.make_user(username="ivanova"), factories.make_user(username="petrov")


def said(item, expert, answer, *, ago=timedelta(hours=1), **fields):
    """Return an answer given so long ago."""
    subject = {"detector": item.detector, "subject_kind": item.subject_kind, "subject_key": item.subject_key}
    at = timezone.now() - ago
    return Label.objects.create(item=item, expert=expert, answer=answer, created_at=at, **subject | fields)


def both(queue, pair, one, other, **fields):
    item = factories.make_item(queue=queue, **fields)
    return said(item, pair[0], one), said(item, pair[1], other)


def of_all(detector):
    return AgreementFigure.objects.get(detector=detector, first=None)


def test_a_night_stores_what_all_and_what_each_two_agree_on(queue, pair):
    version = factories.make_version(detector=queue.detector)
    for number in range(24):
        both(queue, pair, P if number % 2 else N, P if number % 2 or number < 4 else N, version=version)
    assert agreement.measure() == 1
    everybody, two = AgreementFigure.objects.order_by("first")
    everybody, two = (everybody, two) if everybody.first is None else (two, everybody)
    assert (everybody.items, everybody.agreed, everybody.is_enough) == (24, 22, True)
    assert everybody.low < everybody.value < everybody.high
    assert (two.first, two.second, two.items, two.agreed) == (*pair, 24, 22)
    assert two.value == pytest.approx(10 / 12)
    assert two.policy == agreement.POLICY.to_dict()


def test_the_same_night_again_changes_nothing(queue, pair):
    for number in range(21):
        both(queue, pair, P, N if number % 3 else P)
    agreement.measure()
    before = list(AgreementFigure.objects.order_by("pk").values("pk", "value", "low", "high"))
    agreement.measure()
    assert list(AgreementFigure.objects.order_by("pk").values("pk", "value", "low", "high")) == before


def test_what_was_withdrawn_or_is_of_another_source_or_too_old_does_not_count(queue, pair):
    withdrawn, _other = both(queue, pair, P, N)
    said(withdrawn.item, pair[0], Answer.WITHDRAWN, supersedes=withdrawn)
    item = factories.make_item(queue=queue)
    said(item, pair[0], P)
    said(item, pair[1], N, source="rule")
    said(old := factories.make_item(queue=queue), pair[0], P, ago=timedelta(days=91))
    said(old, pair[1], N)
    agreement.measure()
    assert of_all(queue.detector).items == 0


def test_the_answer_that_replaced_a_withdrawn_one_counts(queue, pair):
    first, _other = both(queue, pair, P, N)
    undone = said(first.item, pair[0], Answer.WITHDRAWN, supersedes=first)
    said(first.item, pair[0], N, supersedes=undone)
    agreement.measure()
    assert (of_all(queue.detector).items, of_all(queue.detector).agreed) == (1, 1)


def test_a_senior_who_decides_over_others_agrees_with_nobody(queue, pair):
    first, other = both(queue, pair, P, N)
    senior = factories.make_user(Role.SENIOR)
    decision = said(first.item, senior, N)
    Adjudication.objects.create(label=decision, between=[first.pk, other.pk])
    agreement.measure()
    assert (of_all(queue.detector).items, of_all(queue.detector).agreed) == (1, 0)
    assert AgreementFigure.objects.filter(second=senior).count() == 0


def test_second_thoughts_after_a_question_do_not_hide_that_they_differed(queue, pair):
    first, _other = both(queue, pair, P, N)
    at = timezone.now() - timedelta(minutes=30)
    Question.objects.create(item=first.item, by=factories.make_user(Role.SENIOR), text="Sure?", asked_at=at)
    said(first.item, pair[0], N, supersedes=first, ago=timedelta(minutes=10))
    agreement.measure()
    assert (of_all(queue.detector).items, of_all(queue.detector).agreed) == (1, 0)


def test_each_expert_has_figures_of_his_own(queue, pair):
    for number, milliseconds in enumerate((1_000, 2_000, 30_000)):
        item = factories.make_item(
            queue=queue, state="settled", outcome=P if number else N, settled_at=timezone.now(), cell="unique"
        )
        said(item, pair[0], P if number else N, milliseconds=milliseconds)
    said(item, pair[1], U)
    agreement.measure()
    one, other = (ExpertFigure.objects.get(expert=expert) for expert in pair)
    assert (one.labels, one.median_ms, one.p90_ms, one.unique, one.false_positives) == (3, 2_000, 24_400, 2, 1)
    assert (one.shared, one.agreed, one.is_enough) == (1, 0, False)
    assert (other.labels, other.median_ms, other.unique) == (1, None, 0)


def test_a_detector_nobody_answers_for_has_no_figures(queue):
    assert agreement.measure() == 0
    assert not AgreementFigure.objects.exists()
