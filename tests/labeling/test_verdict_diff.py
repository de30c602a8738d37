"""Verdict diffs: what a version would change beside the active one, look by look, and who has seen it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from labeling.models import Item, Queue
from labeling.services import diffs as diff_service
from models_registry.models import DiffReview, VerdictDiff
from models_registry.services import diffs, weeks
from models_registry.services.diffs import ReviewRefused
from models_registry.services.gate_evidence import week_of
from tests.factories import make_version
from tests.labeling.conftest import eve_record, make_scores

pytestmark = pytest.mark.django_db


@pytest.fixture
def versions(make_segment):
    """An active version and a candidate: two looks won (one on three hosts), one lost, one in common."""
    active = make_version(threshold=0.7, stage="active")
    candidate = make_version(detector=active.detector, threshold=0.7, stage="candidate")
    shop = [eve_record(number) for number in range(4)]
    names = ("alpha", "beta", "gamma", "delta")
    others = [eve_record(10 + n, http={"hostname": f"{name}.example"}) for n, name in enumerate(names)]
    segment = make_segment([*shop, *others, eve_record(20, http={"url": "/quiet"})])
    make_scores(active, segment, {3: 3.0, 6: 2.0})
    make_scores(candidate, segment, {0: 2.0, 1: 2.5, 2: 2.0, 3: 3.0, 4: 4.0})
    return active, candidate


def made(candidate):
    diff = diffs.make(candidate, candidate.threshold, weeks.last_week("http"))
    assert diff is not None
    return diff


def test_flips_are_counted_and_grouped_by_look_with_their_hosts(versions):
    _active, candidate = versions
    diff = made(candidate)
    assert (diff.gained, diff.gained_hosts, diff.lost, diff.lost_hosts) == (4, 4, 1, 1)
    rows = [(group.direction, group.sessions, group.hosts, group.title.split("/")[0]) for group in diff.groups.all()]
    assert rows == [("gained", 3, 3, "GET example.com"), ("gained", 1, 1, "GET alpha.example"),
                    ("lost", 1, 1, "GET gamma.example")]  # fmt: skip
    group = diff.groups.first()
    assert (round(group.score, 3), round(group.against_score, 3)) == (0.924, 0.018)
    assert made(candidate) == diff
    assert VerdictDiff.objects.count() == 1


def test_more_looks_than_are_kept_stand_together(versions, monkeypatch):
    monkeypatch.setattr(diffs, "MOST_GROUPS", 1)
    groups = [
        (group.title.split("/")[0], group.sessions) for group in made(versions[1]).groups.filter(direction="gained")
    ]
    assert groups == [("GET example.com", 3), ("", 1)]


def test_the_rows_behind_a_number_open_in_the_hunt(versions, engineer_client):
    diff = made(versions[1])
    group = diff.groups.first()
    for asked, count in ((diff.gained_asked, 4), (diff.lost_asked, 1), (group.asked, group.sessions)):
        page = engineer_client.get(reverse("labeling:hunt-counts"), {"q": asked, "under_test": str(diff.version)})
        assert f">{count}<" in page.text.replace("\n", "")


def test_the_gate_waits_until_somebody_has_looked(versions, expert):
    _active, candidate = versions
    state = diffs.state_of(candidate, candidate.threshold)
    against = week_of(candidate, candidate.threshold).against
    assert (against.groups, against.waiting) == (3, 3)
    diff = VerdictDiff.objects.get(pk=against.diff)
    assert diff_service.accept(diff, [group.pk for group in diff.groups.all()], expert, "seen") == 3
    assert week_of(candidate, candidate.threshold).against.waiting == 0
    assert diffs.state_of(candidate, candidate.threshold) != state
    assert diff_service.accept(diff, [diff.groups.first().pk], expert) == 0


def test_a_look_that_was_accepted_stays_so_when_more_traffic_comes(versions, expert, make_segment):
    active, candidate = versions
    diff = made(candidate)
    diff_service.accept(diff, [diff.groups.first().pk], expert)
    segment = make_segment([eve_record(30), eve_record(31, http={"hostname": "new.example"})])
    make_scores(active, segment, {})
    make_scores(candidate, segment, {0: 2.0, 1: 2.0})
    states = {one.group.title.split("/")[0]: bool(one.review) for one in diffs.groups_of(made(candidate))}
    assert states == {"GET example.com": True, "GET alpha.example": False, "GET new.example": False,
                      "GET gamma.example": False}  # fmt: skip


def test_a_look_is_labelled_now_in_the_queue_of_disagreement(versions, expert, expert_client):
    diff = made(versions[1])
    group = diff.groups.first()
    address = reverse("labeling:review-diff", args=[diff.pk])
    assert expert_client.post(address, {"group": [group.pk], "outcome": "label"}).status_code == 302
    item = Item.objects.get()
    assert (item.queue.kind, item.reason, item.sessions, item.hosts) == (Queue.Kind.DISAGREEMENT, "disagreement", 3, 3)
    assert DiffReview.objects.get().outcome == "label"
    expert_client.post(address, {"group": [group.pk], "outcome": "label"})
    assert Item.objects.count() == 1
    page = expert_client.get(reverse("labeling:verdict-diff", args=[diff.pk])).text
    assert "sent to experts" in page
    assert "2 looks not reviewed" in page


def test_sessions_that_are_gone_are_not_sent_and_engineers_do_not_judge(versions, expert, engineer):
    diff = made(versions[1])
    group = diff.groups.first()
    with pytest.raises(ReviewRefused, match="judged by experts"):
        diff_service.accept(diff, [group.pk], engineer)
    versions[1].score_files.update(path="")
    with pytest.raises(ReviewRefused, match="not stored any more"):
        diff_service.label_now(diff, [group.pk], expert)
    assert not DiffReview.objects.exists()


def test_the_first_version_has_nothing_to_be_compared_with(versions):
    active, _candidate = versions
    assert diffs.make(active, active.threshold, weeks.last_week("http")) is None
