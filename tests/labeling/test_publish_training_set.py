"""Training sets: what experts said is in them, and nothing that the gate holds back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from accounts.roles import Role as RoleOfPerson
from detection.reference import ReferencePolicy, role_of
from detection.training_rows import read_training_set
from labeling.models import Label, Queue, ReferenceRow, Role, Source
from labeling.services import reference
from models_registry.services import snapshots
from models_registry.services.detectors import make_detector
from tests import factories
from tests.factories import make_row
from tests.factories import make_session_item as make_item
from tests.labeling.conftest import eve_record

pytestmark = pytest.mark.django_db
KEY = "a key of this test"


@pytest.fixture(autouse=True)
def key(settings):
    settings.REFERENCE_KEY = KEY


@pytest.fixture
def detector(db):
    return make_detector({"name": "http-attacks", "rules": {"name_patterns": ["ET EXPLOIT *"]}})


@pytest.fixture
def queue(detector):
    return factories.make_queue(detector=detector)


@pytest.fixture
def agree(answer, expert, senior):
    def agreed(item, outcome="positive"):
        answer(item, expert, outcome)
        answer(item, senior, outcome)

    return agreed


def host_with(role: str, shape: str) -> str:
    """Return a host that the hash sends to a role."""
    hosts = (f"10.7.{number // 250}.{number % 250}" for number in range(500))
    return next(host for host in hosts if role_of(KEY.encode(), shape, host, ReferencePolicy()) == role)


def labelled(queue, role: str, shape: str = "a" * 64, **fields: Any):
    row = make_row(src_ip=host_with(role, shape), flow_id=ord(shape[0]) + (1_000 if role == Role.REGRESSION else 0))
    key = f"core-1|{row['flow_id']}|0|{row['start']}"
    return make_item(queue, row, shape=shape, subject_key=key, **fields)


def published(detector) -> Any:
    training_set = reference.publish_training_set(detector)
    return training_set, read_training_set(snapshots.read(training_set))


def alert(number: int) -> dict[str, Any]:
    return eve_record(number) | {
        "event_type": "alert",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": 2000001,
            "rev": 1,
            "signature": "ET EXPLOIT Test",
            "category": "Attempted Administrator Privilege Gain",
            "severity": 1,
        },
    }


def test_a_single_answer_trains_when_its_pair_would_not_be_held_out(queue, detector, answer, expert):
    answer(labelled(queue, Role.REGRESSION), expert, "negative")
    _set, rows = published(detector)
    assert (rows.origin, rows.label.tolist()) == (["expert"], [0])


def test_a_single_answer_whose_pair_would_be_held_out_never_trains(queue, detector, answer, expert):
    answer(labelled(queue, Role.HOLDOUT), expert, "negative")
    assert published(detector)[1].key == []


@pytest.mark.parametrize(("role", "count"), [(Role.REGRESSION, 1), (Role.HOLDOUT, 0)])
def test_regression_rows_train_and_hold_out_rows_do_not(queue, detector, agree, role, count):
    agree(labelled(queue, role))
    reference.grow()
    assert ReferenceRow.objects.get().role == role
    assert len(published(detector)[1].key) == count


def test_a_spent_row_trains(queue, detector, agree):
    agree(labelled(queue, Role.HOLDOUT))
    reference.grow()
    ReferenceRow.objects.update(role=Role.REGRESSION)
    assert len(published(detector)[1].key) == 1


def test_disputed_undecided_and_withdrawn_answers_do_not_train(queue, detector, answer, expert, senior):
    disputed, unclear, undone = (labelled(queue, Role.REGRESSION, shape=letter * 64) for letter in "abc")
    answer(disputed, expert, "positive")
    answer(disputed, senior, "negative")
    answer(unclear, expert, "undecided")
    answer(undone, expert, "positive")
    from labeling.services import labels

    labels.undo(expert)
    assert published(detector)[1].key == []


def test_weak_rows_give_way_to_experts_and_to_what_is_held_out(queue, detector, agree, answer, expert, make_segment):
    make_segment(
        [line for number in range(6) for line in (eve_record(number), *([alert(number)] if number < 3 else []))]
    )
    _set, weak = published(detector)
    assert sorted(weak.origin) == ["background"] * 3 + ["rule"] * 3
    shape, host = weak.group[0].split("|")
    role = role_of(KEY.encode(), shape, host, ReferencePolicy())
    agree(make_item(queue, make_row(src_ip=host), shape=shape, subject_key=weak.key[0]), "negative")
    reference.grow()
    _set, rows = published(detector)
    assert ("expert" in rows.origin) == (role == Role.REGRESSION)
    weak_groups = [group for group, origin in zip(rows.group, rows.origin, strict=True) if origin != "expert"]
    if role == Role.HOLDOUT:
        assert weak.group[0] not in weak_groups
    assert weak.key[0] not in [key for key, origin in zip(rows.key, rows.origin, strict=True) if origin != "expert"]


def test_poisoned_hold_out_rows_change_no_byte(queue, detector, agree, answer, expert, make_segment):
    """Section 6 of the proof rules: training never reads a hold-out row."""
    make_segment(
        [line for number in range(8) for line in (eve_record(number), *([alert(number)] if number < 4 else []))]
    )
    for letter in "0123":
        agree(labelled(queue, Role.HOLDOUT, shape=letter * 64))
        agree(labelled(queue, Role.REGRESSION, shape=letter * 64), "negative")
    reference.grow()
    held_out = ReferenceRow.objects.filter(role=Role.HOLDOUT)
    assert held_out.count() == 4
    before, _rows = published(detector)
    poison = orjson.dumps(make_row(uri="/poison", host="poison.example", status=599)).decode()
    held_out.update(answer="negative", row=poison, rule_hit=True, source="poison")
    after, rows = published(detector)
    assert after.digest == before.digest
    assert b"poison" not in snapshots.read(after)
    assert len(rows.key) == 8 + 4


def test_the_same_answers_give_the_same_bytes(queue, detector, answer, expert, make_segment):
    make_segment([eve_record(number) for number in range(5)])
    answer(labelled(queue, Role.REGRESSION), expert, "positive")
    first, rows = published(detector)
    assert published(detector)[0] == first
    assert first.rows == len(rows.key)
    assert first.counts["origin"]["expert"] == first.counts["class"]["positive"] == 1


def test_a_confirmed_complaint_is_the_customers_word_with_an_experts(detector):
    complaints = factories.make_queue(detector=detector, slug="complaints", kind=Queue.Kind.COMPLAINT)
    item = make_item(complaints, make_row())
    factories.make_reference_row(item=item, role=Role.REGRESSION, answer="negative")
    _set, rows = published(detector)
    assert (rows.origin, rows.label.tolist(), rows.weight.tolist()) == (["customer"], [0], [2.0])


def test_a_dump_alone_keeps_its_origin_and_an_expert_makes_it_an_answer(queue, detector, analyst, answer, expert):
    item = labelled(queue, Role.REGRESSION)
    Label.objects.create(
        item=item,
        detector=detector,
        subject_kind=item.subject_kind,
        subject_key=item.subject_key,
        expert=analyst,
        source=Source.DUMP,
        answer="positive",
    )
    assert published(detector)[1].origin == ["dump"]
    answer(item, expert, "positive")
    training_set, rows = published(detector)
    assert rows.origin == ["expert"]
    assert training_set.counts["origin"] == {"expert": 1}


@pytest.fixture
def analyst(db):
    return factories.make_user(RoleOfPerson.ENGINEER)
