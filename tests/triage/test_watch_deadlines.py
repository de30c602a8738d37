"""A warning at hour 20 and a breach at hour 24: rows, each once, whatever the clock of a complaint went through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.urls import reverse

from accounts.roles import Role
from labeling.models import ComplaintItem
from labeling.services import claims, labels
from tests.factories import enter, make_complaint, make_user
from tests.processes import at_once
from tests.triage.test_complaint import RECORD
from triage.models import Complaint, DeadlineNotice, State
from triage.services import complaints, deadlines, filing, lists
from triage.services import states as steps
from triage.tasks import watch_deadlines

pytestmark = pytest.mark.django_db
RECEIVED = datetime(2026, 3, 1, 6, 10, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


def hours(number: float) -> datetime:
    return RECEIVED + timedelta(hours=number)


def kinds(complaint: Complaint) -> list[str]:
    return list(complaint.deadline.notices.values_list("kind", flat=True))


def shown(complaint: Complaint):
    return Complaint.objects.listed().get(pk=complaint.pk)


@pytest.fixture
def complaint():
    return make_complaint(received_at=RECEIVED)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (hours(20) - MOMENT, []),
        (hours(20), ["warning"]),
        (hours(24) - MOMENT, ["warning"]),
        (hours(24), ["warning", "breach"]),
        (hours(25), ["warning", "breach", "escalation"]),
        (hours(240), ["warning", "breach", "escalation", "escalation"]),
    ],
)
def test_exactly_at_hour_20_and_at_hour_24(complaint, now, expected):
    assert deadlines.watch(now) == len(expected)
    assert kinds(complaint) == expected
    assert deadlines.watch(now) == 0


def test_each_notice_says_which_mark_was_passed_and_when_it_was_seen(complaint):
    deadlines.watch(hours(24.9))
    marks = complaint.deadline.notices.values_list("kind", "passed_at", "due_at", "at")
    assert list(marks) == [
        ("warning", hours(20), hours(24), hours(24.9)),
        ("breach", hours(24), hours(24), hours(24.9)),
    ]


def test_no_warning_comes_twice_from_ticks_that_come_late_or_often(complaint):
    for now in (20, 20, 21, 23.5, 24, 24, 24.5):
        deadlines.watch(hours(now))
    assert kinds(complaint) == ["warning", "breach"]


@pytest.mark.parametrize("states", [("confirmed", "published"), ("rejected", "told")])
def test_a_stopped_clock_is_not_warned_of(complaint, states):
    with time_machine.travel(hours(3), tick=False):
        enter(complaint, *states)
    assert deadlines.watch(hours(90)) == 0


def test_an_answer_late_between_two_ticks_is_a_breach_all_the_same(complaint, support, expert):
    with time_machine.travel(hours(23), tick=False):
        enter(complaint, "rejected", by=expert)
    with time_machine.travel(hours(24.5), tick=False):
        complaints.tell(complaint, "It is an attack.", support)
        assert kinds(complaint) == ["warning", "breach"]
        assert shown(complaint).reading.state == "breached"
    assert deadlines.watch(hours(90)) == 0


def test_an_answer_at_the_last_moment_is_no_breach(complaint, support, expert):
    deadlines.watch(hours(21))
    with time_machine.travel(hours(24), tick=False):
        enter(complaint, "rejected", by=expert)
        complaints.tell(complaint, "It is an attack.", support)
    assert shown(complaint).reading.state == "met"
    assert deadlines.watch(hours(90)) == 0
    assert kinds(complaint) == ["warning"]


# a customer who is asked


def ask(complaint: Complaint, at: float) -> None:
    with time_machine.travel(hours(at), tick=False):
        steps.enter(complaint, State.NEEDS_INFORMATION, reason="which application?")


def told_more(complaint: Complaint, at: float) -> None:
    """The customer answers; what the bundle says of the record plays no part here."""
    with time_machine.travel(hours(at), tick=False):
        steps.enter(complaint, State.RECEIVED)


def test_a_paused_clock_does_not_warn_and_goes_on_where_it_stood(complaint):
    ask(complaint, 19)
    assert deadlines.watch(hours(100)) == 0
    assert shown(complaint).deadline.reading(hours(100)).hours_and_minutes == (5, 0)
    told_more(complaint, 119)
    assert shown(complaint).deadline.due_at == hours(124)
    assert deadlines.watch(hours(120) - MOMENT) == 0
    assert deadlines.watch(hours(120)) == 1
    assert deadlines.watch(hours(124) - MOMENT) == 0
    assert deadlines.watch(hours(124)) == 1


def test_a_warning_before_a_rest_is_not_repeated_after_it(complaint):
    deadlines.watch(hours(21))
    ask(complaint, 22)
    told_more(complaint, 50)
    assert deadlines.watch(hours(51.9)) == 0
    assert deadlines.watch(hours(52)) == 1
    assert kinds(complaint) == ["warning", "breach"]


def test_a_rest_that_begins_too_late_hides_no_breach(complaint):
    ask(complaint, 24.9)
    assert kinds(complaint) == ["warning", "breach"]
    told_more(complaint, 49.9)
    assert shown(complaint).deadline.due_at == hours(49)
    assert shown(complaint).deadline.reading(hours(50)).hours_and_minutes == (1, 0)


def test_several_rests_add_up(complaint):
    for asked, answered in ((1, 11), (12, 22), (23, 33)):
        ask(complaint, asked)
        told_more(complaint, answered)
    assert shown(complaint).deadline.due_at == hours(54)


def test_the_new_item_is_due_when_the_clock_says(loud, customer, support, expert):
    with time_machine.travel(RECEIVED, tick=False):
        filed = filing.file(customer, RECORD, "x", support)
        item = filed.states.get(state="received").item
        claims.claim(item, expert)
        labels.submit(item, expert, "undecided", note="which application?")
        complaints.collect()
    with time_machine.travel(hours(9), tick=False):
        filing.add_information(filed, "our scanner", support)
        again = filed.states.filter(state="received").last().item
    assert shown(filed).deadline.due_at == hours(33)
    assert ComplaintItem.objects.get(item=again).due_at == hours(33)
    assert filed.deadline.promised_at == hours(24)


# pages


def test_home_and_the_complaints_page_show_them(client, support, complaint):
    make_complaint(received_at=RECEIVED + timedelta(hours=5))
    client.force_login(support)
    with time_machine.travel(hours(25), tick=False):
        deadlines.watch()
        figures = lists.figures(make_user(Role.AUDITOR))
        assert (figures.open, figures.warned, figures.breached) == (2, 1, 1)
        page = client.get(reverse("triage:complaint", args=[complaint.pk])).text
    assert "breached by 1 h 0 m" in page
    assert page.count("due 2026-03-02 06:10 UTC") == 3  # the first escalation is at hour 25
    assert page.index(">warning<") < page.index(">breach<")


def test_a_paused_clock_is_seen_and_stands_behind_the_running_ones(client, support, complaint):
    ask(complaint, 23)
    other = make_complaint(received_at=hours(10))
    assert [one.pk for one in lists.unanswered(make_user(Role.AUDITOR))] == [other.pk, complaint.pk]
    assert lists.figures(make_user(Role.AUDITOR)).nearest.pk == other.pk
    client.force_login(support)
    assert "paused, 1 h 0 m left" in client.get(reverse("triage:complaints")).text


def test_a_complaint_that_was_answered_counts_no_more(complaint, support, expert):
    deadlines.watch(hours(25))
    enter(complaint, "rejected", by=expert)
    complaints.tell(complaint, "It is an attack.", support)
    figures = lists.figures(make_user(Role.AUDITOR))
    assert (figures.open, figures.warned, figures.breached) == (0, 0, 0)


# the tick


def test_the_tick_writes_them(complaint):
    assert watch_deadlines() == 4


@pytest.mark.django_db(transaction=True)
def test_four_processes_at_once_warn_once():
    by = make_user()
    for _ in range(10):
        make_complaint(received_at=RECEIVED, filed_by=by)
    assert sum(at_once(deadlines.watch, [(hours(24.5),)] * 4)) == 20
    assert DeadlineNotice.objects.count() == 20
