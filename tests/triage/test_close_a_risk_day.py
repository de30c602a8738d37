"""Nights of hosts at risk: scores come in, days close, alerts open, labels act."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pytest
import time_machine

from accounts.models import AuditEntry
from detection import adaptive
from detection.adaptive import POLICY, simulation
from detection.adaptive.simulation import QUIET, score_of
from jobs.models import Job
from labeling.models import Item, ReferenceRow
from labeling.services import claims, labels
from labeling.services import reference as reference_service
from triage.models import Entity, Organisation, RiskAlert, RiskNight, RiskScore
from triage.services.risk import days, items, nights, organisations, pages, scores, states
from triage.services.risk.scores import Told

FIRST = date(2026, 1, 1)
pytestmark = pytest.mark.django_db


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def told(name: str, day: date, value: float, feature: str = "amount sent") -> Told:
    return Told(name, feature, noon(day), score_of(value))


def quiet_days(organisation: Organisation, number: int, people: int = 40) -> None:
    """Send what a simulated quiet organisation says on some days from FIRST, and close these days."""
    for ordinal in range(number):
        day = FIRST + timedelta(days=ordinal)
        events = [
            Told(one.entity, one.feature, noon(day), one.score, one.department)
            for one in simulation.day(QUIET, people, ordinal)
        ]
        scores.take_in(organisation, [*events, told("watched", day, 0.1)], "models")
        nights.close(organisation.weights, day)


@pytest.fixture
def organisation(db: None) -> Organisation:
    return organisations.make("Acme", budget=0.2)


def test_the_first_days_only_listen(organisation: Organisation) -> None:
    quiet_days(organisation, 14)
    found = list(RiskNight.objects.order_by("day"))
    assert [night.mode for night in found] == ["learning"] * 14
    assert not RiskAlert.objects.exists()
    assert not np.isfinite(states.thresholds(found[-1].thresholds_path)).any()


def test_an_unusual_day_alerts_becomes_an_item_and_its_label_acts(organisation: Organisation, expert: Any) -> None:
    quiet_days(organisation, 20)
    day = FIRST + timedelta(days=20)
    scores.take_in(organisation, [told("joe", day, 40.0), told("watched", day, 0.1)], "models")
    nights.close(organisation.weights, day)
    alert = RiskAlert.objects.get(entity__name="joe", day=day)
    assert alert.value == pytest.approx(40.0) and alert.value > alert.threshold
    assert alert.contributions == [["amount sent", pytest.approx(40.0)]]
    waiting = RiskAlert.objects.without_item().count()
    assert (items.open_waiting(), items.open_waiting()) == (waiting, 0)
    alert.refresh_from_db()
    item = alert.item
    assert item is not None
    assert (item.subject_kind, item.version, item.queue.slug) == ("entity-day", None, "hosts-at-risk")

    claims.claim(item, expert)
    labels.submit(item, expert, "negative", "expected-of-peers")
    before = pages.portrait(alert.entity).threshold
    following = day + timedelta(days=1)
    scores.take_in(organisation, [told("watched", following, 0.1)], "models")
    nights.close(organisation.weights, following)
    alert.refresh_from_db()
    assert alert.effect == "of-peers"
    after = pages.portrait(alert.entity).threshold
    assert before is not None and after is not None and after > before
    entry = AuditEntry.objects.get(action="risk.of-peers")
    assert entry.actor == expert and entry.details["threshold_after"] == pytest.approx(after)
    reference_service.grow()
    assert not ReferenceRow.objects.exists()


def test_a_confirmed_alert_leaves_the_history(organisation: Organisation, expert: Any) -> None:
    quiet_days(organisation, 20)
    day = FIRST + timedelta(days=20)
    scores.take_in(organisation, [told("joe", day, 40.0), told("watched", day, 0.1)], "models")
    night = nights.close(organisation.weights, day)
    joe = Entity.objects.get(name="joe")
    held = states.row_of(night.state_path, joe.row)
    assert held is not None
    items.open_waiting()
    item = Item.objects.get(title__startswith="joe")
    claims.claim(item, expert)
    labels.submit(item, expert, "positive")
    following = nights.close(organisation.weights, day + timedelta(days=1))
    without = states.row_of(following.state_path, joe.row)
    assert without is not None
    assert float(without.counts.sum()) == pytest.approx(float(held.counts.sum()) - 1, abs=1e-6)
    assert RiskAlert.objects.get(entity=joe, day=day).effect == "confirmed"


def test_a_day_is_closed_once_and_in_order(organisation: Organisation) -> None:
    quiet_days(organisation, 3)
    again = nights.close(organisation.weights, FIRST + timedelta(days=2))
    assert RiskNight.objects.count() == 3 and again.day == FIRST + timedelta(days=2)
    with pytest.raises(ValueError, match="the day after 2026-01-03 comes first"):
        nights.close(organisation.weights, FIRST + timedelta(days=9))


def test_a_night_that_died_before_its_row_gives_the_same_file_again(organisation: Organisation) -> None:
    quiet_days(organisation, 3)
    night = RiskNight.objects.get(day=FIRST + timedelta(days=2))
    digest = night.state_digest
    night.delete()
    assert nights.close(organisation.weights, night.day).state_digest == digest


def test_a_file_that_was_changed_stops_the_night(organisation: Organisation, settings: Any) -> None:
    quiet_days(organisation, 2)
    night = RiskNight.objects.latest("day")
    states.put(night.state_path, states.Entities.fresh(3, 1))
    with pytest.raises(states.StateDamaged, match="SHA-256 differs"):
        nights.close(organisation.weights, FIRST + timedelta(days=2))


def test_a_day_on_which_no_feed_spoke_is_no_quiet_day(organisation: Organisation) -> None:
    quiet_days(organisation, 16)
    before = pages.portrait(Entity.objects.get(name="joe"))
    silent = nights.close(organisation.weights, FIRST + timedelta(days=16))
    after = pages.portrait(Entity.objects.get(name="joe"))
    assert silent.mode == "silent" and silent.missing == silent.entities
    assert (after.periods, after.weight, after.threshold) == (before.periods, before.weight, before.threshold)
    scores.hear(organisation, [FIRST + timedelta(days=17)])  # alive, and had nothing to tell
    quiet = nights.close(organisation.weights, FIRST + timedelta(days=17))
    assert quiet.mode != "silent" and quiet.missing == 0


def test_an_entity_that_could_not_be_heard_is_missing(organisation: Organisation) -> None:
    quiet_days(organisation, 2)
    day = FIRST + timedelta(days=2)
    scores.take_in(organisation, [told("watched", day, 0.1)], "models")
    assert scores.miss(organisation, day, ["joe", "nobody"]) == 1
    assert nights.close(organisation.weights, day).missing == 1
    assert pages.portrait(Entity.objects.get(name="joe")).periods == 2


def test_a_late_score_is_taken_in_by_the_next_night_for_seven_days(organisation: Organisation) -> None:
    quiet_days(organisation, 16)
    late, too_late = FIRST + timedelta(days=10), FIRST + timedelta(days=8)
    taken = scores.take_in(organisation, [told("new", late, 3.0), told("old", too_late, 3.0)], "models")
    assert (taken.taken, taken.late, taken.too_late) == (1, 1, 1)
    nights.close(organisation.weights, FIRST + timedelta(days=16))
    row = Entity.objects.get(name="new").row
    state = states.row_of(RiskNight.objects.latest("day").state_path, row)
    assert state is not None and float(state.counts.sum()) > 0
    assert not RiskScore.objects.filter(late=True).exists()


def test_a_critical_asset_alerts_above_its_own_limit(organisation: Organisation, senior: Any) -> None:
    quiet_days(organisation, 15)
    gerrard = Entity.objects.get(name="gerrard")
    organisations.place(gerrard, senior, peers="sales", ceiling=0.01)
    day = FIRST + timedelta(days=15)
    scores.take_in(organisation, [told("gerrard", day, 0.05)], "models")
    nights.close(organisation.weights, day)
    assert RiskAlert.objects.get(entity=gerrard, day=day).threshold == pytest.approx(0.01)


def test_other_weights_begin_another_history_and_the_old_one_speaks_meanwhile(organisation: Organisation) -> None:
    quiet_days(organisation, 15)
    first = organisation.weights
    RiskScore.objects.filter(day__lt=FIRST + timedelta(days=10)).delete()
    second = organisations.change_weights(organisation, {"amount sent": 2.0}, {}, None)
    assert nights.in_use(organisation) == [first, second]
    now = noon(FIRST + timedelta(days=30))
    for day in range(15, 30):
        scores.take_in(organisation, [told("watched", FIRST + timedelta(days=day), 0.1)], "models")
    with time_machine.travel(now, tick=False):
        assert nights.start_due() == 1
        for weights, due in list(nights.due(organisation, now)):
            nights.close(weights, due)
    assert nights.in_use(organisation) == [second]
    assert not RiskAlert.objects.filter(night__weights=second, day__lt=FIRST + timedelta(days=24)).exists()


def test_days_close_in_the_zone_of_the_organisation_and_by_a_job(run_jobs: Any) -> None:
    organisation = organisations.make("Far", time_zone="Asia/Tokyo")
    scores.take_in(organisation, [Told("host", "scans", datetime(2026, 1, 1, 16, tzinfo=UTC), 50.0)], "models")
    assert RiskScore.objects.get().day == date(2026, 1, 2)  # past midnight there
    with time_machine.travel(datetime(2026, 1, 2, 16, 59, tzinfo=UTC), tick=False):
        assert nights.start_due() == 0
    with time_machine.travel(datetime(2026, 1, 2, 17, 1, tzinfo=UTC), tick=False):
        assert nights.start_due() == 1
        run_jobs()
    assert Job.objects.get().result == {"days": 1, "alerts": 0}
    assert RiskNight.objects.get().day == date(2026, 1, 2)


def test_a_changed_budget_lets_thresholds_follow_at_once(organisation: Organisation, senior: Any) -> None:
    quiet_days(organisation, 16)
    organisations.change_budget(organisation, 0.5, 0.3, senior)
    organisation.refresh_from_db()
    assert organisation.lift_asked_at is not None
    nights.close(organisation.weights, FIRST + timedelta(days=16))
    organisation.refresh_from_db()
    assert organisation.lift_asked_at is None
    assert RiskNight.objects.latest("day").policy["floor"] == 0.3
    assert AuditEntry.objects.get(action="organisation.budget").details["before"] == {"budget": 0.2, "floor": 0.0}


def test_the_same_nights_as_the_science_alone(organisation: Organisation) -> None:
    """What rows and files do on the way changes nothing: the newest thresholds are those of one long run in memory."""
    quiet_days(organisation, 18)
    members = list(Entity.objects.order_by("row"))
    entities, calibration = adaptive.Entities.fresh(0, 0), adaptive.Calibration.fresh()
    for ordinal in range(18):
        day = FIRST + timedelta(days=ordinal)
        number = 1 + max(one.row for one in members if one.since <= day)
        if number > len(entities):
            entities = entities.joined(adaptive.Entities.fresh(number - len(entities), day.toordinal()))
        values = days.values_of(organisation.weights, day)
        groups = np.unique([one.peers for one in members[:number]], return_inverse=True)[1]
        groups = np.where([one.peers == "" for one in members[:number]], -1, groups)
        night = adaptive.night(
            entities, calibration, day.toordinal(), values.rows, values.values,
            budget=0.2, groups=groups, learning=ordinal < POLICY.cold_start,
        )  # fmt: skip
        calibration = night.calibration
    stored = states.thresholds(RiskNight.objects.latest("day").thresholds_path)
    assert np.array_equal(stored, entities.threshold)
