"""When scores become items, answers become a reference set, and both become a candidate."""

from __future__ import annotations

from celery import shared_task

from jobs.services import jobs, ticks
from labeling.services import (
    agreement,
    bulk,
    contradictions,
    coverage,
    dumps,
    expiry,
    gating,
    groups,
    hunt_proposals,
    hunt_sends,
    imports,
    late_hits,
    neighbours,
    prices,
    priorities,
    queues,
    reference,
    retraining,
    routing,
    seeds,
    suggestions,
)


@shared_task
def route_scores() -> int | None:
    """Turn verdicts into items."""
    return ticks.run("labeling.route_scores", lambda: routing.route_waiting() + dumps.route_waiting())


@shared_task
def correct_items() -> int | None:
    """Tell items of rule hits that arrived later."""
    return ticks.run("labeling.correct_items", late_hits.correct_waiting)


@shared_task
def grow_reference_set() -> int | None:
    """Admit what experts agreed on."""
    return ticks.run("labeling.grow_reference_set", reference.grow)


@shared_task
def collect_checks() -> int | None:
    """Hear what was answered about the look-alikes that group verdicts kept."""
    return ticks.run("labeling.collect_checks", groups.collect_checks)


@shared_task
def give_bulk_verdict(pk: int) -> None:
    """Answer all that a bulk verdict froze."""
    jobs.run(pk, bulk.give)


@shared_task
def propose_hunt(pk: int) -> None:
    """Do a job's question for a hunt filter."""
    jobs.run(pk, hunt_proposals.answer)


@shared_task
def take_back_bulk_verdict(pk: int) -> None:
    """Withdraw the answers of a bulk verdict."""
    jobs.run(pk, bulk.take_back)


@shared_task
def send_hunt(pk: int) -> None:
    """Make the items of what a hunt found."""
    jobs.run(pk, hunt_sends.send)


@shared_task
def take_back_hunt(pk: int) -> None:
    """Close what was sent and nobody answered."""
    jobs.run(pk, hunt_sends.take_back)


@shared_task
def expire_answers() -> int | None:
    """Ask again where an answer was given for a time."""
    return ticks.run("labeling.expire_answers", expiry.expire_answers)


@shared_task
def retrain_due(early: bool = False) -> int | None:
    """Start the trainings whose hour has come, or all of them `early`, where they are worth it."""
    return ticks.run("labeling.retrain_due", lambda: retraining.start_due(early=early))


@shared_task
def retrain(pk: int) -> None:
    """Do a job's training."""
    jobs.run(pk, retraining.retrain)


@shared_task
def gate_nightly() -> int | None:
    """Check what scores on the reference set as it is now."""
    return ticks.run("labeling.gate_nightly", gating.gate_all)


@shared_task
def gate_version(pk: int) -> None:
    """Do a job's gate."""
    jobs.run(pk, gating.gate)


@shared_task
def index_neighbours() -> int | None:
    """Index the labelled sessions that pages show as neighbours, where labels have grown."""
    return ticks.run("labeling.index_neighbours", neighbours.build_due)


@shared_task
def ask_suggestions() -> int | None:
    """Ask the language model of the settings about what waits; without one, nothing happens."""
    return ticks.run("labeling.ask_suggestions", suggestions.ask_waiting)


@shared_task
def count_coverage() -> int | None:
    """Say where the reference sets are thin."""
    return ticks.run("labeling.count_coverage", coverage.count_all)


@shared_task
def admit_import(pk: int) -> None:
    """Do a job's admission of imported reference rows."""
    jobs.run(pk, imports.admit)


@shared_task
def expire_items() -> int | None:
    """Close what nobody looked at."""
    return ticks.run("labeling.expire_items", queues.expire)


@shared_task
def follow_raises() -> int | None:
    """Let waiting items go up, or down again, with what is known of their version."""
    return ticks.run("labeling.follow_raises", priorities.follow)


@shared_task
def recount_queues() -> int | None:
    """Repair counts that drifted."""
    return ticks.run("labeling.recount_queues", queues.recount)


@shared_task
def measure_prices() -> int | None:
    """Measure what a label of each queue costs."""
    return ticks.run("labeling.measure_prices", prices.measure)


@shared_task
def measure_agreement() -> int | None:
    """Count who agrees with whom, and what each expert did."""
    return ticks.run("labeling.measure_agreement", agreement.measure)


@shared_task
def prepare_seeds() -> int | None:
    """Have settled cases ready that experts answer once more, blind."""
    return ticks.run("labeling.prepare_seeds", seeds.prepare)


@shared_task
def collect_contradictions() -> int | None:
    """Find the looks that are spoken about in opposite ways."""
    return ticks.run("labeling.collect_contradictions", contradictions.collect)
