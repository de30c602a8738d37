"""The clock on one page: what is on it, and a night made to pass by moving the clock."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from celery.beat import Scheduler
from celery.schedules import crontab
from celery.worker.request import Request
from kombu.message import Message

from config.celery import CLOCK, NOTICES, PIPELINE, TRAINING, app
from jobs.models import Job, State, Tick
from jobs.services import ticks
from models_registry.models import GateReport, Version
from tests.models_registry import loop
from tests.test_architecture import ROOMS

ROOT = Path(__file__).resolve().parent.parent.parent
EVENING = datetime(2026, 3, 9, 23, 0, tzinfo=UTC)
# a night stops where something is due by the hour; what is due every few seconds runs at each stop
MINUTES = sorted(
    {
        minute
        for entry in CLOCK.values()
        if isinstance(entry["schedule"], crontab)
        for minute in entry["schedule"].minute
    }
)


def test_every_entry_names_a_task_that_exists_a_queue_and_an_end():
    app.loader.import_default_modules()
    for name, entry in CLOCK.items():
        assert entry["task"] in app.tasks, name
        assert entry["options"]["queue"] in (PIPELINE, TRAINING, NOTICES), name
        assert 0 < entry["options"]["expires"] <= 3 * 3600, name
        if not isinstance(entry["schedule"], crontab):
            assert entry["options"]["expires"] <= entry["schedule"], f"{name}: ticks would pile up"


HOUSE = sorted({entry["task"] for entry in CLOCK.values()} - {"celery.backend_cleanup"})  # Celery's own: one DELETE


@pytest.mark.django_db
@pytest.mark.parametrize("task", HOUSE)
def test_a_tick_does_nothing_while_another_process_is_at_it(task):
    app.loader.import_default_modules()
    name = task.replace(".tasks.", ".")
    with ticks.hold(name) as mine:
        assert mine
        assert app.tasks[task]() is None
    assert Tick.objects.get().runs == 1
    assert app.tasks[task]() == 0
    assert Tick.objects.get().runs == 2


@pytest.mark.parametrize("name", CLOCK)
def test_a_tick_that_waited_too_long_is_not_run(name, monkeypatch):
    """A worker that comes back after a day does not run a day of ticks."""
    app.loader.import_default_modules()
    sent = []
    scheduler = Scheduler(app, lazy=True)
    with time_machine.travel(EVENING, tick=False) as clock:
        scheduler.setup_schedule()
        monkeypatch.setattr(app.tasks[CLOCK[name]["task"]], "apply_async", lambda *a, **options: sent.append(options))
        scheduler.apply_async(scheduler.schedule[name], advance=False)
        expires = sent.pop()["expires"]
        headers, properties, body, _event = app.amqp.as_task_v2("1", CLOCK[name]["task"], expires=expires)
        message = Message(
            body=json.dumps(body), headers=headers, properties=properties, content_type="application/json"
        )
        clock.shift(timedelta(seconds=expires))
        assert not Request(message, app=app).maybe_expire()
        clock.shift(timedelta(seconds=1))
        assert Request(message, app=app).maybe_expire()


def test_every_periodic_task_stands_on_one_page():
    for path in (file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        if path != ROOT / "config" / "celery.py":
            text = path.read_text()
            assert "crontab(" not in text, path
            assert "beat_schedule" not in text, path


def test_a_message_goes_to_its_queue_and_to_no_other():
    """Queues that share a routing key would each get every message."""
    assert sorted(queue.routing_key for queue in app.conf.task_queues) == sorted([PIPELINE, TRAINING, NOTICES])


class Night(Scheduler):
    """Celery's own scheduler; what it would send runs here, and is written down."""

    def __init__(self, *args, **options):
        self.ran: list[tuple[datetime, str]] = []
        super().__init__(*args, **options)

    def apply_async(self, entry, producer=None, advance=True, **options):
        entry = self.reserve(entry) if advance else entry
        self.ran.append((datetime.now(UTC), entry.task))
        app.tasks[entry.task]()


def pass_time(scheduler: Night, clock, until: datetime, run_jobs, minutes: list[int] = MINUTES) -> None:
    while (now := datetime.now(UTC)) < until:
        while scheduler.tick() <= 0:
            pass
        run_jobs()
        later = next((minute for minute in minutes if minute > now.minute), 60 + minutes[0])
        clock.move_to(now.replace(minute=0) + timedelta(minutes=later))


@pytest.mark.django_db
def test_a_night(tmp_path, run_jobs, monkeypatch):
    loop.train_quickly(monkeypatch)
    app.loader.import_default_modules()
    with time_machine.travel(EVENING, tick=False) as clock:
        loop.make_loop(tmp_path)
        scheduler = Night(app, lazy=True)
        scheduler.setup_schedule()
        pass_time(scheduler, clock, EVENING + timedelta(hours=7), run_jobs)
        times = Counter(task for _at, task in scheduler.ran)
        at = {task: moment.strftime("%H:%M") for moment, task in scheduler.ran}
        once = {task: at[task] for task, count in times.items() if count == 1}
        assert once == {
            "traffic.tasks.discard_leftovers": "01:00",
            "triage.tasks.discard_telemetry": "01:20",
            "models_registry.tasks.discard_old_score_files": "01:30",
            "models_registry.tasks.discard_scores": "01:40",
            "labeling.tasks.measure_agreement": "02:30",
            "labeling.tasks.collect_contradictions": "02:45",
            "labeling.tasks.expire_items": "03:00",
            "labeling.tasks.recount_queues": "03:30",
            "labeling.tasks.gate_nightly": "04:00",
            "models_registry.tasks.check_ledger": "04:30",
            "celery.backend_cleanup": "05:00",
        }
        assert times["labeling.tasks.retrain_due"] == 6  # every hour; each detector at its own
        assert times["traffic.tasks.delete_old"] == 7
        assert times["labeling.tasks.measure_prices"] == 7
        assert times["labeling.tasks.prepare_seeds"] == 7
        for task in ("models_registry.tasks.score_segments", "labeling.tasks.route_scores", "jobs.tasks.sweep"):
            assert times[task] == 7 * len(MINUTES) - 1  # once per stop: all that was missed in between is one tick
        # trained an hour ago, nobody has answered: skipped, with the reason
        trainings = Job.objects.exclude(kind="explain version")
        assert [job.state for job in trainings] == [State.SKIPPED]
        assert Job.objects.get(kind="explain version").state == State.DONE  # once: nothing has come in since
        assert not Tick.objects.exclude(error="").exists()
        # a week later it is trained in any case, as soon as the clock runs again, and scored over what is stored
        clock.move_to(EVENING + timedelta(days=7))
        scheduler = Night(app, lazy=True)
        scheduler.setup_schedule()
        pass_time(scheduler, clock, EVENING + timedelta(days=7, hours=7), run_jobs, minutes=[0, 30])
        assert [(job.kind, job.state) for job in trainings.order_by("id")] == [
            ("retrain", "skipped"),
            ("retrain", "done"),
            ("score candidate", "done"),
            ("retrain", "skipped"),  # at its own hour that night
        ]
        assert Version.objects.count() == 2
        assert GateReport.objects.filter(version=Version.objects.latest("id")).exists()
