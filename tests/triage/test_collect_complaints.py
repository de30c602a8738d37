"""An expert's answer confirms or rejects; a confirmed complaint gates releases and asks for a candidate at once."""

from __future__ import annotations

import pytest

from jobs.models import Job, State
from labeling.models import ReferenceRow, RetrainRequest
from labeling.services import claims, labels, reference, retraining, retrains
from labeling.services.labels import LabelRefused, UndoRefused
from tests.factories import make_complaint, make_version
from triage.models import ComplaintState
from triage.services import complaints
from triage.services import states as steps

pytestmark = pytest.mark.django_db


@pytest.fixture
def complaint():
    return make_complaint()


def answer(complaint, expert, said, **details):
    item = complaint.states.filter(state="received").last().item
    assert claims.claim(item, expert)
    return labels.submit(item, expert, said, **details)


def state(complaint) -> str:
    return str(steps.state_of(complaint))


def test_one_negative_answer_confirms(complaint, expert):
    answer(complaint, expert, "negative", reason_code="own-test")
    assert complaints.collect() == 1
    step = complaint.states.last()
    assert (step.state, step.by, step.reason) == ("confirmed", expert, "own security test")


def test_a_confirmed_one_is_a_regression_row_of_customer_and_expert(complaint, expert):
    answer(complaint, expert, "negative")
    complaints.collect()
    row = ReferenceRow.objects.get()
    assert (row.role, row.answer, row.source) == ("regression", "negative", f"customer {complaint.customer}")
    assert [label.expert for label in row.labels.all()] == [expert]
    assert row.title.startswith(f"{complaint.number} · ")  # gate reports name it
    assert reference.grow() == 0


def test_growing_first_makes_the_same_row(complaint, expert):
    answer(complaint, expert, "negative")
    assert reference.grow() == 1
    assert complaints.collect() == 1
    assert ReferenceRow.objects.get().role == "regression"


def test_a_confirmed_one_starts_a_training(complaint, expert):
    answer(complaint, expert, "negative")
    complaints.collect()
    job = Job.objects.get()
    assert (job.kind, job.queue) == ("retrain", "training")
    assert complaint.number in job.arguments["reason"]
    assert not RetrainRequest.objects.filter(taken_at=None).exists()


def test_a_training_that_runs_already_is_followed_by_another(complaint, expert):
    running = retraining.start(complaint.detector, reason="night")
    Job.objects.filter(pk=running.pk).update(state=State.RUNNING)
    answer(complaint, expert, "negative")
    complaints.collect()
    assert Job.objects.count() == 1
    assert RetrainRequest.objects.get().taken_at is None
    Job.objects.filter(pk=running.pk).update(state=State.DONE)
    assert retrains.start_asked() == 1
    assert retrains.start_asked() == 0
    assert Job.objects.count() == 2


def test_two_confirmed_at_once_are_one_training(expert):
    version = make_version()
    for _ in range(2):
        answer(make_complaint(version=version), expert, "negative")
    assert complaints.collect() == 2
    assert Job.objects.count() == 1


def test_a_positive_answer_rejects_and_needs_a_reason(complaint, expert):
    with pytest.raises(LabelRefused, match="waits for the reason"):
        answer(complaint, expert, "positive")
    answer(complaint, expert, "positive", note="it is a web shell")
    complaints.collect()
    assert (state(complaint), complaint.states.last().reason) == ("rejected", "it is a web shell")
    assert reference.grow() == 0  # one expert alone admits nothing
    assert not ReferenceRow.objects.exists()
    assert not Job.objects.exists()


def test_cannot_tell_asks_for_information_and_needs_words(complaint, expert):
    with pytest.raises(LabelRefused):
        answer(complaint, expert, "undecided")
    answer(complaint, expert, "undecided", note="which application?")
    complaints.collect()
    assert (state(complaint), complaint.states.last().reason) == ("needs-information", "which application?")


def test_the_labelling_page_names_the_complaint(complaint, expert_client):
    page = expert_client.get(f"/items/{complaint.states.get().item_id}/").text
    assert complaint.number in page
    assert "unique candidate" not in page


def test_an_answer_is_taken_once(complaint, expert):
    answer(complaint, expert, "negative")
    assert (complaints.collect(), complaints.collect()) == (1, 0)
    assert ComplaintState.objects.filter(state="confirmed").count() == 1


def test_a_withdrawn_answer_is_not_taken(complaint, expert):
    answer(complaint, expert, "positive", note="web shell")
    labels.undo(expert)
    assert complaints.collect() == 0
    answer(complaint, expert, "negative")
    assert complaints.collect() == 1
    assert state(complaint) == "confirmed"


def test_what_was_taken_is_not_withdrawn(complaint, expert):
    answer(complaint, expert, "positive", note="web shell")
    complaints.collect()
    with pytest.raises(UndoRefused, match="has your answer"):
        labels.undo(expert)


def test_an_open_item_is_left_alone(complaint):
    assert complaints.collect() == 0
    assert state(complaint) == "received"
