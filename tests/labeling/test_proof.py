"""Proof: a random sample of a version's own positives, answered blind, and what it shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from detection import sampling
from detection.proof import labels_needed
from detection.sampling import SamplingPolicy
from labeling.models import Item, ItemHost, ItemState, ProofDraw, ProofItem, Queue, QueuePrice, ReferenceRow, Role
from labeling.services import claims, groups, labels, proofs, reference
from labeling.services.details import Given
from labeling.services.routing import route_waiting
from models_registry.models import ScoreFile
from models_registry.services import boards
from models_registry.services.boards import Seen
from tests import factories
from tests.factories import make_proof_item, make_row
from tests.labeling.conftest import eve_record, make_scores

pytestmark = pytest.mark.django_db
BEFORE = datetime(2026, 2, 1, tzinfo=UTC)


def make_version(**fields):
    """Return a version that was frozen before the traffic of these tests."""
    detector = fields.pop("detector", None) or factories.make_detector()
    frozen_at = fields.pop("frozen_at", BEFORE)
    training_set = factories.make_training_set(detector=detector, frozen_at=frozen_at)
    return factories.make_version(detector=detector, training_set=training_set, threshold=0.7, **fields)


@pytest.fixture
def version(db):
    return make_version()


@pytest.fixture(autouse=True)
def positives_alone(monkeypatch):
    """What a version lets pass is drawn too: test_missed_share."""
    monkeypatch.setattr(proofs, "POLICY", SamplingPolicy(missed_target=0))


@pytest.fixture
def small_target(monkeypatch):
    monkeypatch.setattr(proofs, "POLICY", SamplingPolicy(target=10, missed_target=0))


def drawn_keys():
    return set(Item.objects.filter(queue__kind=Queue.Kind.PROOF).values_list("subject_key", flat=True))


# drawing


def test_few_positives_are_all_drawn_one_item_each(version, make_segment):
    make_scores(version, make_segment([eve_record(number) for number in range(9)]), dict.fromkeys(range(8), 2.0))
    route_waiting()
    draw = ProofDraw.objects.get()
    assert (draw.sessions, draw.expected, draw.probability, draw.drawn) == (8, 8, 1.0, 8)
    items = Item.objects.filter(queue__kind=Queue.Kind.PROOF)
    assert {item.sessions for item in items} == {1}  # look-alikes all: one hunted item, eight drawn ones
    assert len(drawn_keys()) == 8
    assert Queue.objects.get(kind=Queue.Kind.PROOF).waiting == 8
    assert set(ProofItem.objects.values_list("domain", flat=True)) == {"example.com"}
    assert ProofItem.objects.values("host").distinct().count() == 7


def test_many_positives_are_drawn_by_the_stored_probability(version, make_segment, small_target):
    make_scores(version, make_segment([eve_record(number) for number in range(300)]), dict.fromkeys(range(300), 2.0))
    route_waiting()
    draw = ProofDraw.objects.get()
    assert draw.probability == 10 / 300
    assert 2 <= draw.drawn <= 25
    assert draw.drawn == ProofItem.objects.count()
    assert set(ProofItem.objects.values_list("probability", flat=True)) == {10 / 300}


def test_replaying_the_day_draws_the_same_sessions(version, make_segment, small_target):
    file = make_scores(version, make_segment([eve_record(n) for n in range(200)]), dict.fromkeys(range(200), 2.0))
    first = proofs.draw(file)
    again = proofs.draw(ScoreFile.objects.get())
    assert [one.number for one in again] == [one.number for one in first]
    assert [one.twice for one in again] == [one.twice for one in first]
    route_waiting()
    assert len(drawn_keys()) == len(first)
    assert ProofDraw.objects.get().drawn == len(first)
    assert route_waiting() == 0
    assert ProofItem.objects.count() == len(first)


def test_another_key_draws_others(version, make_segment, small_target, settings):
    file = make_scores(version, make_segment([eve_record(n) for n in range(200)]), dict.fromkeys(range(200), 2.0))
    first = [one.number for one in proofs.draw(file)]
    settings.REFERENCE_KEY = "a key of this test"
    assert [one.number for one in proofs.draw(file)] != first


def test_a_later_file_of_the_day_knows_of_the_earlier_ones(version, make_segment, small_target):
    for start in (0, 300):
        segment = make_segment([eve_record(number) for number in range(start, start + 15)])
        make_scores(version, segment, dict.fromkeys(range(15), 2.0))
        route_waiting()
    first, second = ProofDraw.objects.order_by("pk")
    assert (first.expected, first.probability) == (15, 1.0)
    assert (second.expected, second.probability) == (30, 10 / 30)


def test_a_quiet_morning_expects_what_the_day_before_had(version, make_segment, small_target):
    make_scores(version, make_segment([eve_record(n) for n in range(60)]), dict.fromkeys(range(60), 2.0))
    next_day = [eve_record(n, timestamp=f"2026-03-02T09:00:0{n}.000000+0000") for n in range(5)]
    make_scores(version, make_segment(next_day), dict.fromkeys(range(5), 2.0))
    route_waiting()
    assert ProofDraw.objects.get(day="2026-03-02").probability == 10 / 60


def test_sessions_before_the_training_freeze_prove_nothing(make_segment):
    version = make_version(frozen_at=datetime(2026, 3, 1, 12, 0, 4, tzinfo=UTC))
    make_scores(version, make_segment([eve_record(n) for n in range(9)]), dict.fromkeys(range(9), 2.0))
    route_waiting()
    assert ProofDraw.objects.get().sessions == 4  # seconds 5 to 8
    assert ProofItem.objects.count() == 4


def test_a_candidate_is_not_proven(make_segment):
    make_scores(make_version(stage="candidate"), make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    assert not ProofDraw.objects.exists()


def test_versions_draw_apart(version, make_segment, small_target):
    other = make_version(detector=version.detector)
    segment = make_segment([eve_record(n) for n in range(200)])
    for one in (version, other):
        make_scores(one, segment, dict.fromkeys(range(200), 2.0))
    route_waiting()
    drawn = [
        set(ProofItem.objects.filter(version=v).values_list("item__subject_key", flat=True)) for v in (version, other)
    ]
    assert drawn[0] != drawn[1]


def test_a_stored_share_is_answered_by_two(version, make_segment):
    make_scores(version, make_segment([eve_record(n) for n in range(90)]), dict.fromkeys(range(90), 2.0))
    route_waiting()
    needed = list(Item.objects.filter(queue__kind=Queue.Kind.PROOF).values_list("labels_needed", flat=True))
    assert set(needed) == {1, 2}
    assert 8 <= needed.count(2) <= 32


# the page


SECRETS = ("10.77.0.1", "0.94", "0.7000", "silent", "proof", "drawn for", "rules clean", "stands for", "false positive")


@pytest.fixture
def item(db):
    queue = factories.make_queue(kind=Queue.Kind.PROOF, slug="sealed-envelope")
    item = make_proof_item(queue, make_row(hits=[]), sessions=1, labels_needed=2)
    ItemHost.objects.create(item=item, host="10.77.0.1")
    return item


@pytest.mark.parametrize("role", ["expert", "senior"])
def test_who_answers_sees_the_session_and_nothing_else(item, role, request, answer):
    answer(item, factories.make_user(username="petrov"), "positive", note="clearly a scan")
    client = request.getfixturevalue(f"{role}_client")
    for url in (reverse("labeling:item", args=[item.pk]), reverse("labeling:work", args=[item.queue.slug])):
        response = client.get(url)
        main = response.text[response.text.index('<section id="workbench"') :]
        assert "/cgi-bin/x.sh" in main
        assert "<title>Labelling" in response.text
        for secret in (
            *SECRETS,
            "petrov",
            "clearly a scan",
            "sealed-envelope",
            "waiting",
            'id="explanation"',
            "negative:",
        ):
            assert secret not in main, (url, secret)
    assert 'value="negative"' in main


def test_the_fragment_after_an_answer_hides_as_much(item, expert_client):
    queue = item.queue
    other = make_proof_item(queue)
    expert_client.get(reverse("labeling:work", args=[queue.slug]))
    response = expert_client.post(
        reverse("labeling:submit-label", args=[item.pk]), {"answer": "negative"}, headers={"HX-Request": "true"}
    )
    assert response.context["item"] == other
    for secret in (*SECRETS, "sealed-envelope"):
        assert secret not in response.text, secret
    assert item.labels.get().reason_code == ""


@pytest.mark.parametrize("role", ["expert", "senior"])
def test_the_explanation_is_refused(item, role, request):
    client = request.getfixturevalue(f"{role}_client")
    assert client.get(reverse("labeling:explanation", args=[item.pk])).status_code == 403


def test_the_list_hides_the_score(item, expert_client, engineer_client):
    url = reverse("labeling:queue", args=[item.queue.slug])
    assert "0.9400" not in expert_client.get(url).text
    assert "0.9400" in engineer_client.get(url).text


def test_an_answer_that_can_still_be_undone_reveals_nothing(item, expert, senior, expert_client, answer):
    answer(item, expert, "positive")
    answer(item, senior, "positive")
    url = reverse("labeling:item", args=[item.pk])
    assert "0.9400" not in expert_client.get(url).text
    Item.objects.update(settled_at=timezone.now() - labels.UNDO_WITHIN - timedelta(minutes=1))
    assert "0.9400" in expert_client.get(url).text


def test_who_does_not_answer_sees_everything(item, auditor_client):
    assert "0.9400" in auditor_client.get(reverse("labeling:item", args=[item.pk])).text


# the figures


@pytest.fixture
def answered(version, expert, answer):
    """Return a function that answers so many drawn sessions, each of its own host and domain."""
    queue = factories.make_queue(kind=Queue.Kind.PROOF, detector=version.detector, slug="drawn")

    def made(*answers):
        items = []
        for number, said in enumerate(answers):
            row = make_row(src_ip=f"10.1.{number}.1", host=f"site{number}.example")
            items.append(make_proof_item(queue, row, version=version))
            if said:
                answer(items[-1], expert, said)
        return items

    return made


def test_answers_give_a_point_and_a_bound(version, answered):
    answered(*["positive"] * 19, "negative", "")
    found = proofs.prove(version)
    assert (found.labels, found.errors, found.hosts) == (20, 1, 20)
    assert found.precision == pytest.approx(0.95)
    assert found.precision_bound == pytest.approx(0.7838938, abs=1e-6)  # Clopper-Pearson, 1 of 20
    assert labels_needed(proofs.rows_of(version), 0.99) == 453


def test_an_undecided_answer_lowers_the_figure(version, answered):
    answered(*["positive"] * 20)
    before = proofs.prove(version).precision_bound
    answered_more = answered("undecided")
    assert answered_more[0].labels.get().answer == "undecided"
    assert proofs.prove(version).errors == 1
    assert proofs.prove(version).precision_bound < before


def test_labels_of_hunted_items_never_change_it(version, answered, answer, expert, senior):
    drawn = answered(*["positive"] * 10)
    before = proofs.prove(version)
    hunted = factories.make_session_item(
        factories.make_queue(detector=version.detector), version=version, subject_key=drawn[0].subject_key
    )
    answer(hunted, expert, "negative")
    answer(hunted, senior, "negative")
    assert proofs.prove(version) == before


def test_a_group_verdict_never_changes_it(version, answered, expert):
    drawn = answered(*["positive"] * 10)
    before = proofs.prove(version)
    queue = factories.make_queue(detector=version.detector)
    look = {"version": version, "shape": drawn[0].shape}
    alike = [factories.make_session_item(queue, **look) for _ in range(3)]
    waiting = make_proof_item(drawn[0].queue, make_row(src_ip="10.1.99.1"), **look)
    assert claims.claim(alike[0], expert)
    groups.submit(alike[0], expert, Given("negative"))
    assert proofs.prove(version) == before
    assert not waiting.labels.exists()


def test_an_imported_row_never_changes_it(version, answered):
    drawn = answered(*["positive"] * 3)
    before = proofs.prove(version)
    factories.make_reference_row(
        item=factories.make_session_item(), subject_key=drawn[0].subject_key, answer="negative"
    )
    assert proofs.prove(version) == before


def test_every_stored_probability_is_the_one_used(version, make_segment, small_target):
    make_scores(version, make_segment([eve_record(n) for n in range(60)]), dict.fromkeys(range(60), 2.0))
    route_waiting()
    draw = ProofDraw.objects.get()
    assert draw.probability == sampling.inclusion_probability(draw.expected, SamplingPolicy(**draw.policy).target)
    drawn = ProofItem.objects.filter(draw=draw)
    assert set(drawn.values_list("probability", flat=True)) == {draw.probability}
    for item in Item.objects.filter(proof__draw=draw):
        assert item.decision["probability"] == draw.probability
    assert {row.probability for row in proofs.rows_of(version)} <= {draw.probability}


def test_a_superseded_answer_never_changes_it(version, answered, expert, answer):
    items = answered(*["positive"] * 10, "negative")
    labels.undo(expert)
    assert proofs.prove(version).errors == 0
    answer(items[-1], expert, "positive")
    assert (proofs.prove(version).labels, proofs.prove(version).errors) == (11, 0)


def test_a_doubt_counts_before_the_second_answer_and_an_approval_does_not(version, answered, expert, answer):
    answered(*["positive"] * 5)
    queue = Queue.objects.get(slug="drawn")
    for number, said in enumerate(("positive", "undecided")):
        row = make_row(src_ip=f"10.9.{number}.1", host=f"more{number}.example")
        answer(make_proof_item(queue, row, version=version, labels_needed=2), expert, said)
    found = proofs.prove(version)
    assert (found.labels, found.errors) == (6, 1)


def test_one_answer_makes_a_forward_row_that_neither_gates_nor_is_thinned(version, answered):
    answered("positive", "negative", "undecided")
    assert reference.grow() == 2
    assert set(ReferenceRow.objects.values_list("role", flat=True)) == {Role.FORWARD}
    assert reference.publish_snapshot(version.detector).rows == 0


def test_other_versions_answers_are_not_borrowed(version, answered):
    answered("positive")
    assert proofs.prove(make_version(detector=version.detector)) is None


def test_false_alerts_rest_on_the_counted_positives(version, make_segment, answer, expert):
    segment = make_segment([eve_record(number) for number in range(61)])
    make_scores(version, segment, dict.fromkeys(range(8), 2.0))
    route_waiting()
    for item in Item.objects.filter(queue__kind=Queue.Kind.PROOF):
        Item.objects.filter(pk=item.pk).update(labels_needed=1)
        answer(item, expert, "negative" if item.pk % 2 else "positive")
    found = proofs.figures(version)
    assert (found.positives, found.drawn, found.seen.hosts) == (8, 8, 7)
    assert found.false_alerts.rate == pytest.approx(4 / 0.007 / proofs.SHORTEST)
    assert found.false_alerts.bound > found.false_alerts.rate
    assert Item.objects.filter(queue__kind=Queue.Kind.PROOF, state=ItemState.SETTLED).count() == 8


def test_the_page_of_a_proof_tells_what_is_claimed_and_what_is_needed(
    version, make_segment, answer, expert, auditor_client
):
    url = reverse("labeling:proof", args=[version.detector.name, version.number])
    assert "nothing is claimed" in auditor_client.get(url).text
    make_scores(version, make_segment([eve_record(number) for number in range(61)]), dict.fromkeys(range(8), 2.0))
    route_waiting()
    Item.objects.filter(queue__kind=Queue.Kind.PROOF).update(labels_needed=1)
    for item in Item.objects.filter(queue__kind=Queue.Kind.PROOF):
        answer(item, expert, "positive")
    page = auditor_client.get(url).text
    # 8 right answers on one domain: 1 - 0.95, whatever the hosts say
    for told in (
        "≥ 5.0 %",
        "decided by domains",
        "0 of 8 answered",
        "8, at random, of what the version flagged: 8 sessions",
        "7 source hosts",
        "per 1,000 hosts and day",
    ):
        assert told in page, told
    assert auditor_client.get(reverse("labeling:proof", args=[version.detector.name, 99])).status_code == 404


def test_the_list_says_what_is_claimed_about_every_version(version, answered, auditor_client):
    nothing = make_version(detector=version.detector)
    answered(*["positive"] * 20)
    shown = auditor_client.get(reverse("labeling:proofs"))
    assert [(claim.version, claim.needed) for claim in shown.context["claims"]] == [(nothing, 299), (version, 279)]
    assert "≥ 86.0 %" in shown.text
    assert "nothing is claimed" in shown.text


def test_what_the_labels_needed_cost_is_told_when_a_label_has_a_price(version, answered, auditor_client, monkeypatch):
    monkeypatch.setattr(boards, "seen", lambda version, since: Seen(hosts=0, days=0.0))
    items = answered("positive")
    url = reverse("labeling:proof", args=[version.detector.name, version.number])
    assert "hours of work" not in auditor_client.get(url).text
    prices = {"labels": 10, "median_ms": 36_000, "p90_ms": 60_000, "measured_at": timezone.now()}
    QueuePrice.objects.create(queue=items[0].queue, **prices)
    assert "about 3.0 hours of work" in auditor_client.get(url).text  # 298 labels of 36 seconds
