"""The list: the nearest deadline first. The home page: how many are open, and which is next."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from tests.factories import enter, make_complaint, make_customer, make_score_file, make_user
from triage.models import Complaint
from triage.services import lists

pytestmark = pytest.mark.django_db
URL = reverse("triage:complaints")


def ago(**span):
    return timezone.now() - timedelta(**span)


def numbers(page: str) -> list[str]:
    return re.findall(r"data-row-link>(C-\d+)<", page)


def test_an_empty_list_says_how_it_fills(auditor_client):
    assert "No customer waits" in auditor_client.get(URL).text


def test_the_nearest_deadline_stands_first_and_stopped_clocks_last(support_client):
    fresh = make_complaint()
    breached = make_complaint(received_at=ago(hours=30, minutes=10))
    close = make_complaint(received_at=ago(hours=21))
    published = make_complaint(received_at=ago(hours=40))
    enter(published, "confirmed", "published")
    told = make_complaint(received_at=ago(hours=50))
    enter(told, "rejected", "told")
    page = support_client.get(URL).text
    assert numbers(page) == [one.number for one in (breached, close, fresh, published, told)]
    for expected in ("breached by 6 h 10 m", "badge--warn", "due in 2 h 59 m", "due in 23 h 59 m"):
        assert expected in page


def test_the_list_costs_the_same_queries_for_many(support_client):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            support_client.get(URL)
        return len(captured)

    make_complaint()
    first = queries()
    for _ in range(5):
        make_complaint()
    assert queries() == first


def test_answered_ones_page_by_key(support_client, monkeypatch):
    monkeypatch.setattr(lists, "ANSWERED", 2)
    for _ in range(3):
        enter(make_complaint(), "rejected", "told")
    page = support_client.get(URL)
    assert len(numbers(page.text)) == 2
    older = re.search(r'href="(\?before=\d+)"', page.text)[1]
    assert len(numbers(support_client.get(URL + older).text)) == 1


def test_home_counts_what_is_open_and_names_what_is_next(expert_client):
    assert "open false positives" not in expert_client.get("/").text  # nothing scores yet
    make_score_file()
    assert lists.figures(make_user(Role.AUDITOR)) == lists.Figures(0, False, None)
    make_complaint(received_at=ago(hours=3))
    next_one = make_complaint(received_at=ago(hours=20, minutes=1), customer=make_customer(name="Globex"))
    enter(make_complaint(received_at=ago(hours=23)), "confirmed", "published")
    enter(make_complaint(received_at=ago(hours=23)), "rejected", "told")
    assert lists.figures(make_user(Role.AUDITOR)).nearest.pk == next_one.pk
    page = expert_client.get("/").text
    assert f'href="{reverse("triage:complaint", args=[next_one.pk])}"' in page
    assert "due in 3 h 58 m" in page
    assert "Globex" in page
    assert expert_client.get("/").context["state"].complaints.open == 2


def test_a_complaint_that_waits_for_its_expert_says_so(support_client):
    make_complaint()
    assert Complaint.objects.listed().get().state == "received"
    assert "received" in support_client.get(URL).text
