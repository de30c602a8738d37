"""What happens in the demo by itself: its opening, traffic, colleagues, nights. `python -m config.demo.feed`."""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django
import orjson
import structlog

from config.celery import TRAINING
from config.demo import state

log = structlog.get_logger(__name__)
WINDOW = timedelta(seconds=30)  # of traffic in one log: each becomes a segment
LAG = timedelta(seconds=90)  # lines about a flow may come that late
BEFORE = timedelta(minutes=10)  # what the sensors kept while the demo was down
ANSWER = (20.0, 30.0)  # seconds from one simulated answer to the next
COUNTS = 300.0  # seconds from one look for hours that sites have not told of to the next
NIGHT = 3600.0  # seconds from one nightly retrain to the next: nobody watches a demo for a day
REPORT = 300.0  # seconds from one line on the terminal to the next

Say = Callable[[str], None]


def windows(now: datetime, taken_to: datetime | None = None) -> Iterator[tuple[datetime, datetime]]:
    """Yield the windows whose lines are complete by now, behind those taken in already.

    They lie on a fixed grid: a window that is asked for twice gives the same bytes, which are known by their digest."""
    end = grid(now - LAG)
    start = max(taken_to or end - BEFORE, end - BEFORE)
    while start < end:
        yield start, start + WINDOW
        start += WINDOW


def grid(moment: datetime) -> datetime:
    """Return the last moment on the grid of windows."""
    return moment - timedelta(seconds=moment.timestamp() % WINDOW.total_seconds())


def log_name(sensor: str, start: datetime) -> str:
    """Return what a window is called on the page of logs; its last part, the source, is that of all of a sensor."""
    return f"synthetic/{start:%Y-%m-%dT%H:%M:%SZ}/{sensor}.eve.json"


@dataclass(slots=True)
class Feed:
    """The sensors of the simulated network as they write logs now."""

    simulation: Any
    rule_set: Any
    taken_to: datetime | None = None
    sessions: int = 0

    def take_in(self, now: datetime) -> int:
        """Take in what became complete; return how many sessions that added."""
        added = sum(self._take_in(*window) for window in windows(now, self.taken_to))
        self.sessions += added
        return added

    def _take_in(self, start: datetime, end: datetime) -> int:
        from traffic.services import ingest, rule_sets

        added = 0
        for name in self.simulation.sensors:
            lines = b"".join(line + b"\n" for line in self.simulation.lines(start, end, name))
            if lines:  # an empty log is the same log for every window
                sensor = rule_sets.sensor_named(name, self.rule_set)
                added += ingest.ingest_stream(io.BytesIO(lines), log_name(name, start), sensor).sessions
        self.taken_to = end
        return added


def live_feed(folder: Path) -> Feed:
    """Return the feed of the vendor's own network, its rules declared."""
    from config.demo import world
    from traffic.services import rule_sets, runs

    runs.discard_leftovers()  # of a feed that was killed
    simulation = world.everyday()
    rules = folder / state.TEMPORARY / "synthetic.rules"
    rules.write_bytes(simulation.rule_file())
    return Feed(simulation, rule_sets.add_rule_set(rules, "synthetic rules"))


@dataclass(slots=True)
class Colleagues:
    """Experts who answer one item after the other, in turn, at a pace that people have."""

    people: list[Any]
    luck: random.Random = field(default_factory=random.Random)
    answered: int = 0

    def answer(self) -> float:
        """Have the next one answer; return the seconds until somebody answers again."""
        if self.people:
            self.people.append(self.people.pop(0))
            self.answered += self.people[-1].answer_one()
        return self.luck.uniform(*ANSWER)


def colleagues() -> Colleagues:
    from config.demo.experts import Colleague
    from config.demo.people import make_colleagues

    return Colleagues([Colleague(user) for user in make_colleagues()])


def open_house(folder: Path, say: Say) -> bool:
    """Turn the loop once, on the very first start: so that there is something to look at. False where it was done."""
    from config.demo import field as sites
    from config.demo.people import make_people
    from config.demo.turn import turn

    told = folder / state.OPENING
    if told.exists():
        return False
    say("the loop is turned once, by simulated people, so that there is something to look at; the page works meanwhile")
    people = make_people()
    result = turn(say, people=people)
    whole = told.with_suffix(".new")
    whole.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    whole.rename(told)
    try:
        if beside := sites.send_beside(people["engineer"], people["senior"]):
            say(f"bundle {beside} is on the canary channel: two versions on the same sessions")
    except Exception:
        log.exception("demo.sites_failed")  # the field tells what it can without
    say("the opening is over; from now on traffic arrives by itself")
    return True


def night() -> float:
    """Ask for what the clock asks for at two in the morning; return the seconds until the next night."""
    from config.demo import risk
    from labeling.tasks import retrain_due

    risk.tell_days()
    retrain_due.apply_async(kwargs={"early": True}, queue=TRAINING, expires=NIGHT)
    return NIGHT


def run(rounds: list[tuple[float, Callable[[], float]]]) -> None:
    """Do each thing when it is due, for ever. Each says in how many seconds it is due again."""
    now = time.monotonic()
    plan = [[now + first, number] for number, (first, _work) in enumerate(rounds)]
    while True:
        due, number = min(plan)
        time.sleep(max(0.0, due - time.monotonic()))
        plan[int(number)][0] = time.monotonic() + rounds[int(number)][1]()


def main() -> None:
    parser = argparse.ArgumentParser(prog="feed")
    parser.add_argument("--no-colleagues", action="store_true", help="nobody answers but people")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    django.setup()
    from django.conf import settings

    from config.demo import field as sites
    from config.demo import risk
    from config.demo.people import make_people

    folder = Path(settings.VAR)
    try:
        say(f"two synthetic offices have {risk.tell_days()} new days at risk")
        if open_house(folder, say):  # in the memory of training nobody needs to live on
            os.execv(sys.executable, [sys.executable, "-m", "config.demo.feed", *sys.argv[1:]])  # noqa: S606
    except Exception:
        # the house lives without it; the next start tries again
        log.exception("demo.opening_failed")
    feed = live_feed(folder)
    helpers = Colleagues([]) if given.no_colleagues else colleagues()

    def take_in() -> float:
        feed.take_in(datetime.now(UTC))
        return WINDOW.total_seconds()

    def count() -> float:
        try:
            if hours := sites.tell(datetime.now(UTC), make_people()["engineer"]):
                say(f"{hours} hours of counts came from synthetic sites")
        except Exception:
            log.exception("demo.counts_failed")  # the next look tries again
        return COUNTS

    def report() -> float:
        say(f"{feed.sessions} synthetic sessions taken in, {helpers.answered} answers of simulated colleagues so far")
        return REPORT

    run([(0.0, take_in), (5.0, helpers.answer), (10.0, report), (15.0, count), (NIGHT, night)])


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the supervisor shows it


if __name__ == "__main__":
    main()
