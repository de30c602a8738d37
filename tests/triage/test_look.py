"""Every page an engineer reads, with something on it: readable, usable with a keyboard, never wider than the screen."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from jobs.models import Job, State
from jobs.services import jobs, lines, ticks
from labeling.models import Queue
from models_registry.models import Bundle, GateReport
from models_registry.services import scoring
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
LOOKS = [(1440, "light"), (420, "dark")]


@pytest.fixture
def house_with_work(loud):
    """One of everything; return the addresses of the pages that show it."""
    scoring.score_waiting()
    queue = factories.make_queue(detector=loud.detector, kind=Queue.Kind.UNIQUE)
    factories.make_session_item(queue=queue, version=loud)
    factories.make_proposal(version=loud, new="active")
    complaint = factories.make_complaint(version=loud, bundle=Bundle.objects.get())
    running = factories.make_job(state=State.RUNNING, started_at=timezone.now(), done=1, total=9, worker="a:1:x")
    lines.say(running.pk, "snapshot 3: 120 rows")
    factories.make_job(state=State.FAILED, error="FileNotFoundError: segments/7.sessions.parquet" * 3)
    jobs.skip("t", "retrain ktalk", "3 new labels, 50 are wanted", kind="retrain")
    ticks.run("labeling.route_scores", lambda: 1)
    name, number = loud.detector.name, loud.number
    assert Job.objects.count() >= 3
    pages = [
        ("jobs:jobs", []),
        ("jobs:job", [running.pk]),
        ("triage:home", []),
        ("triage:complaints", []),
        ("triage:complaint", [complaint.pk]),
        ("labeling:queues", []),
        ("labeling:queue", [queue.slug]),
        ("labeling:reference", [name]),
        ("labeling:proof", [name, number]),
        ("models_registry:detectors", []),
        ("models_registry:detector", [name]),
        ("models_registry:version", [name, number]),
        ("models_registry:gate", [GateReport.objects.first().pk]),
        ("models_registry:bundles", []),
        ("models_registry:bundle", [Bundle.objects.get().pk]),
        ("triage:customers", []),
        ("traffic:intakes", []),
    ]
    return [reverse(url_name, args=args) for url_name, args in pages]


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_pages_are_readable_and_fit(page, sign_in, accessible, house_with_work, width, scheme):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    tab = sign_in(factories.make_user(Role.ENGINEER))
    problems = []
    for path in house_with_work:
        tab.goto(path)
        tab.locator(".htmx-request").first.wait_for(state="detached")
        try:
            accessible(tab)
        except AssertionError as found:
            problems.append(f"{path}: {str(found).splitlines()[0]}")
        if tab.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            problems.append(f"{path} is wider than the screen")
    assert not problems, "\n".join(problems)
