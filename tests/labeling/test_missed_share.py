"""Missed share: a blind random sample of what a version let pass, by score band and rule verdict."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.urls import reverse

from detection.sampling import SamplingPolicy
from labeling.models import Item, ProofDraw, ProofItem, Queue
from labeling.services import labels, missed, proofs
from labeling.services.routing import route_waiting
from models_registry.models import ScoreFile
from tests import factories
from tests.factories import make_proof_item, make_row
from tests.labeling.conftest import eve_record, make_scores
from tests.labeling.test_proof import make_version

pytestmark = pytest.mark.django_db
LOW = -4.0  # 0.018, below a tenth of the threshold 0.7


@pytest.fixture
def version(db):
    return make_version()


def quiet(version, make_segment, sessions: int, unique: int = 0) -> ScoreFile:
    segment = make_segment([eve_record(number) for number in range(sessions)])
    return make_scores(version, segment, dict.fromkeys(range(unique), 2.0), rest=LOW)


def passed():
    return ProofItem.objects.exclude(draw__stratum="")


# drawing


def test_negatives_are_drawn_by_the_stored_probability_of_their_stratum(version, make_segment):
    quiet(version, make_segment, 500, unique=4)
    route_waiting()
    draw = ProofDraw.objects.exclude(stratum="").get()
    assert (draw.stratum, draw.sessions, draw.expected, draw.probability) == ("clean/low", 496, 496, 5 / 496)
    assert draw.drawn == passed().count()
    assert draw.drawn <= 15
    assert ProofDraw.objects.get(stratum="").sessions == 4  # flagged ones are drawn as before
    queue = Queue.objects.get(kind=Queue.Kind.PROOF)
    assert {item.item.queue for item in passed()} <= {queue}  # one queue: its name tells nobody the verdict
    assert queue.waiting == 4 + draw.drawn


def test_few_negatives_are_all_drawn(version, make_segment):
    quiet(version, make_segment, 9)
    route_waiting()
    assert ProofDraw.objects.exclude(stratum="").get().probability == 1.0
    assert passed().count() == 9
    assert {proof.item.sessions for proof in passed()} == {1}


def test_replaying_the_day_draws_the_same_sessions(version, make_segment):
    file = quiet(version, make_segment, 400)
    first = missed.draw(file)
    again = missed.draw(ScoreFile.objects.get())
    assert [(one.number, one.twice) for one in again] == [(one.number, one.twice) for one in first]
    route_waiting()
    assert passed().count() == len(first)
    assert route_waiting() == 0
    assert passed().count() == len(first)


def test_another_key_draws_others(version, make_segment, settings, monkeypatch):
    monkeypatch.setattr(proofs, "POLICY", SamplingPolicy(missed_target=50))
    file = quiet(version, make_segment, 400)
    first = [one.number for one in missed.draw(file)]
    settings.REFERENCE_KEY = "a key of this test"
    assert [one.number for one in missed.draw(file)] != first


def test_a_later_file_of_the_day_knows_of_the_earlier_ones(version, make_segment):
    for start in (0, 300):
        make_scores(version, make_segment([eve_record(number) for number in range(start, start + 8)]), {}, rest=LOW)
        route_waiting()
    first, second = ProofDraw.objects.order_by("pk")
    assert (first.expected, first.probability) == (8, 1.0)
    assert (second.expected, second.probability) == (16, 5 / 16)


def test_only_traffic_after_the_training_freeze_is_drawn(make_segment):
    version = make_version(frozen_at=datetime(2026, 3, 1, 12, 0, 4, tzinfo=UTC))
    quiet(version, make_segment, 9)
    route_waiting()
    assert ProofDraw.objects.get().sessions == 4  # seconds 5 to 8
    assert passed().count() == 4


def test_a_candidate_and_a_target_of_none_draw_nothing(version, make_segment, monkeypatch):
    quiet(make_version(stage="candidate"), make_segment, 9)
    route_waiting()
    monkeypatch.setattr(proofs, "POLICY", SamplingPolicy(missed_target=0))
    assert missed.draw(quiet(version, make_segment, 8)) == []
    assert not ProofDraw.objects.exists()


def test_items_come_in_the_order_of_the_traffic_whatever_the_verdicts(version, make_segment):
    """Flagged ones first would tell the expert which are which."""
    segment = make_segment([eve_record(number) for number in range(9)])
    make_scores(version, segment, dict.fromkeys((1, 4, 7), 2.0), rest=LOW)
    route_waiting()
    items = Item.objects.filter(queue__kind=Queue.Kind.PROOF).order_by("pk")
    assert [item.proof.draw.stratum for item in items] == ["" if n in (1, 4, 7) else "clean/low" for n in range(9)]
    assert len({item.priority for item in items}) == 1


# answers


@pytest.fixture
def answered(version, expert, answer):
    """Return a function that answers so many sessions the version let pass, each of its own host and domain."""
    queue = factories.make_queue(kind=Queue.Kind.PROOF, detector=version.detector, slug="drawn")

    def made(*answers, stratum="clean/low", **fields):
        items = []
        for said in answers:
            number = Item.objects.count()
            row = make_row(src_ip=f"10.1.{number}.1", host=f"site{number}.example")
            items.append(make_proof_item(queue, row, version=version, stratum=stratum, **fields))
            if said:
                answer(items[-1], expert, said)
        return items

    return made


def test_answers_give_a_point_and_an_interval(version, answered):
    assert missed.share(version) is None
    answered(*["negative"] * 19, "positive", "")
    found = missed.share(version)
    assert (found.sessions, found.labels, found.missed) == (21, 20, 1)
    assert found.share == pytest.approx(0.05)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0013, 0.2487)  # Clopper-Pearson, 1 of 20, two-sided


def test_it_is_no_part_of_the_precision_nor_the_precision_of_it(version, answered):
    answered("negative", "positive")
    assert proofs.prove(version) is None
    answered(*["positive"] * 3, stratum="")
    assert proofs.prove(version).labels == 3
    assert missed.share(version).labels == 2


def test_a_doubt_counts_before_the_second_answer(version, answered):
    answered(*["negative"] * 5)
    before = missed.share(version)
    answered("positive", "negative", labels_needed=2)
    found = missed.share(version)
    assert (found.labels, found.missed, found.undecided) == (6, 0, 1)
    assert found.high > before.high
    assert found.share == 0.0


def test_an_undecided_answer_opens_the_interval(version, answered):
    answered(*["negative"] * 10)
    before = missed.share(version)
    answered("undecided")
    found = missed.share(version)
    assert (found.share, found.undecided) == (0.0, 1)
    assert found.high > before.high


def test_hunted_and_superseded_answers_never_change_it(version, answered, answer, expert, senior):
    drawn = answered(*["negative"] * 10)
    before = missed.share(version)
    hunted = factories.make_session_item(
        factories.make_queue(detector=version.detector), version=version, subject_key=drawn[0].subject_key
    )
    answer(hunted, expert, "positive")
    answer(hunted, senior, "positive")
    assert missed.share(version) == before
    answered("positive")
    labels.undo(expert)
    assert missed.share(version).missed == 0


# the page


def test_the_page_says_what_is_known_of_what_it_lets_pass(version, make_segment, answer, expert, auditor_client):
    url = reverse("labeling:proof", args=[version.detector.name, version.number])
    assert "nothing is said about what it misses" in auditor_client.get(url).text
    quiet(version, make_segment, 9)
    route_waiting()
    drawn = Item.objects.filter(queue__kind=Queue.Kind.PROOF)
    drawn.update(labels_needed=1)
    for item in drawn:
        answer(item, expert, "negative" if item.pk % 9 else "positive")
    page = auditor_client.get(url).text
    # one domain, whose ninth part was missed
    assert "Of 9 sessions it let pass, an estimated 1 were missed: 11.11 %" in page
    assert "(0 to 9 sessions)" in page
    assert "clean/low" in page
    assert "nothing is claimed" in page  # of its precision
    make_proof_item(drawn[0].queue, version=version, stratum="hit/high")
    assert missed.share(version).share is None
