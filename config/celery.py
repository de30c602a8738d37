"""The clock: queues, and every periodic task. Runs as `celery -A config worker -Q QUEUES` and `celery -A config beat`.

Each tick expires when the next one is due and is held by one process at a time (jobs.services.ticks): a slow one is
neither queued behind itself nor run twice at once. What a missed tick left behind, the next one collects."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.schedules import crontab
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

PIPELINE = "pipeline"  # from segment to queue: experts wait for it
TRAINING = "training"  # minutes long: workers of its own, so that nobody waits behind it
NOTICES = "notices"  # deadlines, the sweeper: must run while everything else is busy


def every(seconds: float, task: str, queue: str) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"queue": queue, "expires": seconds}}


def at(moment: crontab, task: str, queue: str) -> dict[str, Any]:
    """A night's task may start late, but not into the next day's work."""
    return {"task": task, "schedule": moment, "options": {"queue": queue, "expires": 3 * 3600}}


CLOCK = {
    # the pipeline
    "score waiting segments": every(5, "models_registry.tasks.score_segments", PIPELINE),
    "route scores": every(5, "labeling.tasks.route_scores", PIPELINE),
    "collect late hits": every(30, "traffic.tasks.collect_late_hits", PIPELINE),
    "correct scores": every(30, "models_registry.tasks.correct_scores", PIPELINE),
    "correct items": every(30, "labeling.tasks.correct_items", PIPELINE),
    "grow the reference set": every(60, "labeling.tasks.grow_reference_set", PIPELINE),
    "collect checks of groups": every(15, "labeling.tasks.collect_checks", PIPELINE),
    "expire answers": every(60, "labeling.tasks.expire_answers", PIPELINE),
    "follow raises": every(30, "labeling.tasks.follow_raises", PIPELINE),
    "count coverage": every(300, "labeling.tasks.count_coverage", PIPELINE),
    "score candidates": every(60, "models_registry.tasks.score_candidates", PIPELINE),
    "match indicators": every(15, "models_registry.tasks.match_indicators", PIPELINE),
    # deadlines and repair
    "collect complaints": every(5, "triage.tasks.collect_complaints", NOTICES),
    "follow complaints": every(30, "triage.tasks.follow_complaints", PIPELINE),
    "collect roles": every(30, "models_registry.tasks.collect_roles", NOTICES),
    "follow incidents": every(30, "triage.tasks.follow_incidents", NOTICES),
    "watch deadlines": every(30, "triage.tasks.watch_deadlines", NOTICES),
    "open items of hosts at risk": every(30, "triage.tasks.open_risk_items", PIPELINE),
    "collect announcements": every(30, "triage.tasks.collect_announcements", NOTICES),
    "deliver announcements": every(5, "triage.tasks.deliver_announcements", NOTICES),
    "sweep": every(10, "jobs.tasks.sweep", NOTICES),
    # each detector has an hour of its own, UTC
    "retrain": {
        "task": "labeling.tasks.retrain_due",
        "schedule": crontab(minute="0"),
        "options": {"queue": TRAINING, "expires": 3600},
    },
    # every hour, so that a full disk does not wait for the night
    "delete old traffic": at(crontab(minute="20"), "traffic.tasks.delete_old", PIPELINE),
    "prepare seeds": at(crontab(minute="50"), "labeling.tasks.prepare_seeds", PIPELINE),
    "measure prices": at(crontab(minute="40"), "labeling.tasks.measure_prices", PIPELINE),
    # a slow answer keeps nobody waiting there
    "ask for suggestions": every(20, "labeling.tasks.ask_suggestions", TRAINING),
    # a few seconds of one process, and only where labels have grown
    "index neighbours": every(300, "labeling.tasks.index_neighbours", TRAINING),
    # every hour: new versions, and weeks that grew
    "explain versions": at(crontab(minute="10"), "models_registry.tasks.start_explaining", PIPELINE),
    # every hour: a day that has closed, small segments of the one that goes on
    "compact": at(crontab(minute="50"), "models_registry.tasks.start_compaction", PIPELINE),
    # every hour, before days close: traffic that was scored since
    "risk scores of detectors": at(crontab(minute="2"), "triage.tasks.take_detector_scores", TRAINING),
    # every hour: each organisation has a midnight of its own
    "hosts at risk": at(crontab(minute="5"), "triage.tasks.start_risk_days", TRAINING),
    # every hour: days close at 06:00 UTC, and late hours are taken up without waiting for the next one
    "close days of telemetry": at(crontab(minute="8"), "triage.tasks.close_telemetry_days", TRAINING),
    # signatures of the feed that last for days
    "refresh the feed": at(crontab(minute="15"), "models_registry.tasks.refresh_feed", NOTICES),
    # the night, UTC
    "discard scores": at(crontab(hour="1", minute="40"), "models_registry.tasks.discard_scores", PIPELINE),
    "discard telemetry": at(crontab(hour="1", minute="20"), "triage.tasks.discard_telemetry", PIPELINE),
    "discard leftovers": at(crontab(hour="1", minute="0"), "traffic.tasks.discard_leftovers", PIPELINE),
    "discard old score files": at(
        crontab(hour="1", minute="30"), "models_registry.tasks.discard_old_score_files", PIPELINE
    ),
    "measure agreement": at(crontab(hour="2", minute="30"), "labeling.tasks.measure_agreement", PIPELINE),
    "collect contradictions": at(crontab(hour="2", minute="45"), "labeling.tasks.collect_contradictions", PIPELINE),
    "expire items": at(crontab(hour="3", minute="0"), "labeling.tasks.expire_items", PIPELINE),
    "recount queues": at(crontab(hour="3", minute="30"), "labeling.tasks.recount_queues", PIPELINE),
    "gate": at(crontab(hour="4", minute="0"), "labeling.tasks.gate_nightly", TRAINING),
    # reads every file the ledger speaks of
    "check the ledger": at(crontab(hour="4", minute="30"), "models_registry.tasks.check_ledger", TRAINING),
    "celery.backend_cleanup": at(crontab(hour="5", minute="0"), "celery.backend_cleanup", NOTICES),  # old errors
}

app = Celery("etalon")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.update(
    task_queues=[Queue(name, routing_key=name) for name in (PIPELINE, TRAINING, NOTICES)],  # or each gets every message
    task_default_queue=PIPELINE,
    beat_schedule=CLOCK,
)
