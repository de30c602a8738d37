"""Contracts, and a simulated week: pauses, nights, a clock that nobody ticks, every deadline right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import time_machine
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.roles import Role
from detection.clock import Change, Terms, replay
from tests.factories import make_complaint, make_customer, make_user
from triage.models import Deadline, DeadlineNotice, Promise
from triage.services import deadlines, filing
from triage.services.filing import Details

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)


def test_a_contract_counts_for_what_comes_after_it(support, administrator):
    customer = make_customer()
    before = filing.file(customer, "it was flagged", "x", support)
    for severity, hours in (("normal", 48), ("critical", 4), ("high", None)):
        deadlines.promise(customer, severity, hours, administrator)
    took = {}
    for severity in ("normal", "critical", "high"):
        made = filing.file(customer, "it was flagged", "x", support, Details(severity=severity))
        took[severity] = made.deadline.promised_at and made.deadline.promised_at - made.received_at
    assert took == {"normal": timedelta(hours=48), "critical": timedelta(hours=4), "high": None}
    assert made.reading.state == "none"
    before.deadline.refresh_from_db()
    assert before.deadline.promised_at - before.received_at == timedelta(hours=24)


def test_administrators_agree_on_promises_on_the_customers_page(administrator_client, support_client):
    customer = make_customer(name="Globex")
    url = reverse("triage:change-promise", args=[customer.pk])
    administrator_client.post(url, {"severity": "critical", "hours": "8"})
    assert (Promise.objects.get().hours, AuditEntry.objects.filter(action="customer.promise").count()) == (8, 1)
    administrator_client.post(url, {"severity": "critical", "hours": "-1"})
    assert Promise.objects.count() == 1
    page = support_client.get(reverse("triage:customer", args=[customer.pk])).text
    assert "8 h" in page
    assert "Promise from now on" not in page


def test_a_simulated_week_of_pauses_nights_and_an_outage():
    """30 complaints over a week; ticks every 10 minutes but for an outage of 14 hours; a second count beside it."""
    random, plans = Random(7), []
    for number in range(30):
        at = MONDAY + timedelta(minutes=random.randrange(7 * 24 * 60))
        steps, kind = [], Change.PAUSED
        moment = at
        for _ in range(random.randrange(5)):
            moment += timedelta(minutes=random.randrange(1, 20 * 60))
            steps.append((kind, moment))
            kind = Change.RESUMED if kind is Change.PAUSED else Change.PAUSED
        if number % 3:
            steps.append((Change.STOPPED, moment + timedelta(minutes=random.randrange(1, 40 * 60))))
        plans.append((at, steps))
    doings = sorted(
        (
            (moment, number, kind)
            for number, (at, steps) in enumerate(plans)
            for kind, moment in [("start", at), *steps]
        ),
        key=lambda one: one[0],
    )
    outage = (MONDAY + timedelta(days=3, hours=20), MONDAY + timedelta(days=4, hours=10))
    verbs = {Change.PAUSED: deadlines.pause, Change.RESUMED: deadlines.resume, Change.STOPPED: deadlines.stop}
    clocks: dict[int, Deadline] = {}
    tick = MONDAY
    for moment, number, kind in doings:
        while tick < moment:
            if not outage[0] <= tick < outage[1]:
                deadlines.watch(tick)
            tick += timedelta(minutes=10)
        if kind == "start":
            clocks[number] = deadlines.start(moment, Terms())
        else:
            verbs[kind](clocks[number], moment)
    end = MONDAY + timedelta(days=14)
    deadlines.watch(end)
    for number, (at, steps) in enumerate(plans):
        clock = Deadline.objects.get(pk=clocks[number].pk)
        face = replay([(Change.STARTED, at), *steps], Terms())
        assert (clock.due_at, clock.paused_at, clock.stopped_at) == (face.due_at, face.paused_at, face.stopped_at)
        assert replay([(Change(c.kind), c.at) for c in clock.changes.all()], clock.promised) == face
        ran, running, since = timedelta(), True, at
        breached_at = None
        for kind, moment in [*steps, (Change.STOPPED, end)]:
            if running:
                if breached_at is None and ran + (moment - since) > timedelta(hours=24):
                    breached_at = since + timedelta(hours=24) - ran
                ran += moment - since
            since, running = moment, kind is Change.RESUMED
            if kind is Change.STOPPED:
                break
        found = list(clock.notices.filter(kind="breach").values_list("passed_at", flat=True))
        assert found == ([breached_at] if breached_at else []), f"clock {number}"
    assert DeadlineNotice.objects.filter(kind="breach").exists()


def test_every_customer_is_told_of_by_those_who_serve_him(settings):
    from triage.models import Delivery

    settings.EMAIL_HOST = "mail.example"
    mine = make_user(Role.SUPPORT, email="support@etalon.example")
    make_user(Role.SUPPORT, email="other@etalon.example", serves_all=False)
    make_user(Role.SENIOR, email="senior@etalon.example")
    make_user(Role.ADMINISTRATOR, email="admin@etalon.example")
    received = datetime(2026, 3, 1, tzinfo=UTC)
    make_complaint(received_at=received, filed_by=mine)
    told = []
    for hours in (20, 24, 25, 28):
        with time_machine.travel(received + timedelta(hours=hours), tick=False):
            deadlines.watch()
        everybody = set(Delivery.objects.exclude(address="").values_list("address", flat=True))
        told.append(sorted(one.partition("@")[0] for one in everybody))
    assert told == [["support"], ["senior", "support"], ["senior", "support"], ["admin", "senior", "support"]]
