"""The home page: boards and queues, and what to do while there are none."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from labeling.models import Label
from labeling.services import claims, labels
from tests import factories
from tests.factories import make_detector, make_item, make_queue, make_score_file, make_segment, make_user, make_version
from tests.field import make_incident
from triage.models import Deadline
from triage.services import deadlines, home

pytestmark = pytest.mark.django_db


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def test_without_traffic_it_says_how_traffic_comes(expert_client):
    assert "manage.py ingest" in expert_client.get("/").text


def test_unsealed_segments_are_no_traffic(expert_client):
    make_segment(sealed_at=None)
    assert "manage.py ingest" in expert_client.get("/").text


def test_without_a_detector_it_says_how_to_make_one(expert_client):
    make_segment()
    assert "manage.py make_detector" in expert_client.get("/").text


def test_without_a_version_it_says_how_to_train_one(expert_client):
    make_segment()
    detector = make_detector()
    assert f"manage.py retrain {detector.name}" in expert_client.get("/").text


def test_the_board_sums_the_cells_over_all_segments(expert_client):
    version = make_version()
    make_score_file(version=version, covered=1200, missed=80, unique_candidates=90, quiet=2_000_000)
    make_score_file(version=version, covered=4, missed=8, unique_candidates=6, uninspected_positive=14)
    page = text_of(expert_client.get("/"))
    for figure in ("1,204 covered", "88 missed", "96 unique candidates", "2,000,000 quiet", "14 model alone"):
        assert figure in page


def test_retired_versions_are_not_shown_and_the_active_one_stands_first(expert_client):
    detector = make_detector()
    make_version(detector=detector, stage="retired")
    active = make_version(detector=detector, stage="active")
    make_version(detector=detector, stage="silent")
    newest = make_version(detector=detector, stage="silent")
    shown = [board.version for board in home.state(make_user()).detectors[0].boards]
    assert shown[:2] == [active, newest]
    assert len(shown) == 3


def test_queues_show_how_many_wait_and_since_when(expert_client):
    queue = make_queue()
    for _ in range(3):
        make_item(queue=queue)
    make_score_file(version=queue.items.first().version)
    page = expert_client.get("/")
    assert reverse("labeling:queue", args=[queue.slug]) in page.text
    assert page.context["state"].waiting == 3


def test_unique_candidates_lead_to_their_queue(expert_client):
    queue = make_queue()
    make_score_file(version=make_version(detector=queue.detector), unique_candidates=3)
    board = re.search(r'<section class="panel" id="board-.*?</section>', expert_client.get("/").text, re.S)[0]
    assert reverse("labeling:queue", args=[queue.slug]) in board


def test_experts_see_their_own_answers_of_the_last_week(expert_client, expert):
    item = make_item()
    make_segment()
    for who, days in ((expert, 1), (expert, 8), (make_user(), 1)):
        Label.objects.create(
            item=make_item(queue=item.queue),
            detector=item.detector,
            subject_kind="session",
            subject_key="x",
            expert=who,
            answer="positive",
            created_at=timezone.now() - timedelta(days=days),
        )
    page = expert_client.get("/")
    assert page.context["state"].week.labels == 1
    assert "Your answers, last 7 days" in page.text


def test_the_page_costs_the_same_queries_for_many_items_and_segments(expert_client):
    version = make_version()
    queue = make_queue(detector=version.detector)

    def queries():
        with CaptureQueriesContext(connection) as captured:
            expert_client.get("/")
        return len(captured)

    make_score_file(version=version)
    make_item(queue=queue, version=version)
    first = queries()
    for _ in range(10):
        make_score_file(version=version)
        make_item(queue=queue, version=version)
    assert queries() == first


@pytest.mark.parametrize(
    ("role", "sees", "misses"),
    [
        ("administrator", ["Home", "Users", "Audit"], []),
        ("auditor", ["Home", "Audit"], ["Users"]),
        ("expert", ["Home", "Queues"], ["Users", "Audit"]),
    ],
)
def test_the_navigation_shows_what_the_role_may_see(client, role, sees, misses):
    client.force_login(make_user(factories.Role(role)))
    navigation = re.search(r"<nav.*?</nav>", client.get("/").text, re.S)[0]
    titles = re.findall(r'data-go-key="\w"[^>]*>([^<]+)<', navigation)
    assert set(sees) <= set(titles)
    assert not set(misses) & set(titles)


def test_every_link_of_the_navigation_opens(client):
    for role in factories.Role:
        client.force_login(make_user(role))
        for place in client.get("/").context["navigation"]:
            assert client.get(place["url"]).status_code == 200, (role, place)


def test_every_link_of_the_page_opens_for_everybody_who_sees_it(client):
    queue = make_queue()
    version = make_version(detector=queue.detector)
    make_score_file(version=version, unique_candidates=3)
    make_item(queue=queue, version=version)
    for role in factories.Role:
        client.force_login(make_user(role))
        for link in set(re.findall(r'href="(/[^"]*)"', client.get("/").text)):
            if not link.startswith("/static/"):
                assert client.get(link).status_code == 200, (role, link)


def test_a_stranger_sees_no_navigation(client):
    assert "<nav" not in client.get(reverse("account_login")).text


def test_words_change_with_the_language_and_stay_changed(expert_client):
    expert_client.post(reverse("set_language"), {"language": "ru"})
    assert '<html lang="ru"' in expert_client.get("/").text


def test_the_page_claims_the_precision_that_a_proof_shows(expert_client, expert):
    version = make_version(stage="active")
    queue = make_queue(detector=version.detector, kind="proof", slug="drawn")
    for number in range(20):
        row = factories.make_row(src_ip=f"10.1.{number}.1", host=f"site{number}.example")
        item = factories.make_proof_item(queue, row, version=version)
        if number < 19:
            claims.claim(item, expert)
            labels.submit(item, expert, "negative" if number == 0 else "positive")
    make_score_file(version=version)
    page = text_of(expert_client.get("/"))
    # Clopper-Pearson, 1 of 19 wrong: at most 22.6 % wrong; rounded down
    assert f"Precision {version} ≥ 77.3 % (n 19, 19 hosts)" in page


def test_labels_of_other_queues_claim_nothing(expert_client, expert):
    version = make_version(stage="active")
    item = make_item(queue=make_queue(detector=version.detector), version=version)
    make_score_file(version=version)
    claims.claim(item, expert)
    labels.submit(item, expert, "positive")
    assert f"Precision {version} not shown yet" in text_of(expert_client.get("/"))


# silent against active


def against(client):
    return text_of(client.get(reverse("triage:home-state"))).partition("Silent ")[2]


@pytest.fixture
def pair():
    detector = make_detector()
    active = make_version(detector=detector, stage="active")
    return active, make_version(detector=detector, stage="silent")


def test_silent_stands_against_active_where_both_scored(expert_client, pair):
    active, silent = pair
    for ours, theirs in ((10, 3), (9, 2)):
        segment = make_segment(last_at=timezone.now())
        make_score_file(version=silent, segment=segment, unique_candidates=ours)
        make_score_file(version=active, segment=segment, unique_candidates=theirs)
    make_score_file(version=silent, segment=make_segment(last_at=timezone.now()), unique_candidates=50)  # alone
    old = make_segment(last_at=timezone.now() - timedelta(days=8))
    make_score_file(version=silent, segment=old, unique_candidates=70)
    make_score_file(version=active, segment=old)
    assert f"{silent} against :{active.number}, 7 days +14 unique / 0 FP" in against(expert_client)


def test_a_silent_version_that_finds_less_says_so(expert_client, pair):
    active, silent = pair
    segment = make_segment(last_at=timezone.now())
    make_score_file(version=silent, segment=segment, unique_candidates=1)
    make_score_file(version=active, segment=segment, unique_candidates=4)
    assert "−3 unique" in against(expert_client)


def test_without_common_traffic_nothing_is_claimed(expert_client, pair):
    make_score_file(version=pair[1], segment=make_segment(last_at=timezone.now()), unique_candidates=9)
    assert "nothing scored by both" in against(expert_client)


def test_the_headline_figures_stand_in_order(expert_client, pair):
    make_segment()
    page = expert_client.get("/").text
    places = [page.index(words) for words in ("open false positives", "nearest deadline", "Precision", "Silent ")]
    assert places == sorted(places)


# it follows by itself


def test_the_clock_of_an_open_incident_stands_beside_that_of_complaints(expert_client, pair):
    make_segment()
    assert "figure-incidents" not in expert_client.get("/").text
    later, first = (make_incident(version=pair[0], customer=factories.make_customer(name=name)) for name in "AB")
    deadlines.stop(make_incident(version=pair[0]).deadline, timezone.now(), "mitigated")
    Deadline.objects.filter(pk=first.deadline_id).update(due_at=timezone.now() + timedelta(hours=3))
    page = expert_client.get("/")
    assert re.search(rf"open incidents 3 due in \S+ \S+( \S+ \S+)? B, {pair[0]}", text_of(page))
    assert reverse("triage:incident", args=[first.pk]) in page.text
    assert reverse("triage:incident", args=[later.pk]) not in page.text


def test_page_and_fragment_are_the_same(expert_client, pair):
    make_score_file(version=pair[1])
    fragment = expert_client.get(reverse("triage:home-state")).text
    assert "<html" not in fragment
    assert f'id="board-{pair[1].pk}"' in fragment
    assert f'id="board-{pair[1].pk}"' in expert_client.get("/").text


@pytest.mark.django_db(transaction=True)
def test_figures_follow_while_focus_stays(page, sign_in, accessible):
    queue = make_queue()
    make_score_file(version=make_version(detector=queue.detector, stage="active"), unique_candidates=3)
    tab = sign_in(make_user())
    tab.goto("/")
    accessible(tab)
    link = tab.get_by_role("link", name=str(queue))
    link.focus()
    make_item(queue=queue, version=queue.detector.versions.get())
    tab.evaluate("htmx.trigger('#home', 'refresh')")
    tab.locator("#figure-waiting", has_text="1").wait_for()
    assert tab.evaluate("document.activeElement.textContent") == str(queue)
