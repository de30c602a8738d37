"""What a bundle that is being built would change for customers: its loud verdicts beside those in force, over the last
week of stored traffic. A job with progress; its result holds the figures and the largest groups."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext_noop

from accounts.models import User
from detection.bundle_config import ConfigEntry, parse_config
from jobs.models import Job
from jobs.services import jobs
from models_registry.models import Bundle, Direction, Version
from models_registry.services import builder, diffs, weeks
from models_registry.services.weeks import Week

TASK = "models_registry.tasks.compare_bundle"
KIND = gettext_noop("compare a bundle")
MOST_GROUPS = 20  # of one detector and direction that are shown
SHOWN = ("title", "sessions", "hosts", "rules_hit", "score", "against_score")


@dataclass(frozen=True, slots=True)
class Loud:
    """A version that speaks, and from which score on."""

    version: Version
    threshold: float

    def __str__(self) -> str:
        return f"{self.version} ≥ {self.threshold:g}"


@dataclass(frozen=True, slots=True)
class Turn:
    """What speaks for a detector before and after; None: nothing does."""

    detector: str
    before: Loud | None
    after: Loud | None

    @property
    def speaks(self) -> Loud:
        """What speaks after, or did before."""
        found = self.after or self.before
        assert found is not None  # else there is no turn
        return found

    def flips(self, direction: Direction, week: Week) -> diffs.Flips | None:
        """Return the sessions that begin or cease to be told; None where nothing can."""
        tells, told = (self.after, self.before) if direction == Direction.GAINED else (self.before, self.after)
        if tells is None:
            return None
        ceased = f" and not {weeks.flagged(told.version, told.threshold)}" if told else ""
        text = f"{weeks.flagged(tells.version, tells.threshold)}{ceased} and {week.asked}"
        own, other = self.after or tells, self.before or tells
        return diffs.flips(text, week, own.version, other.version, own.threshold)


def standing(config: str) -> tuple[bool, Job | None]:
    """Say whether any customer would hear anything else than from the bundle in force, and what compared it last."""
    former, turns = _turns(config)
    if former is None or not turns:
        return False, None
    return True, Job.objects.filter(run_key=_run_key(former, turns)).order_by("-id").first()


def start(config: str, by: User) -> Job | None:
    """Compare a configuration with the bundle in force; None where both speak alike. Raises ConfigError."""
    former, turns = _turns(config)
    if former is None or not turns:
        return None
    return jobs.start(TASK, _run_key(former, turns), {"config": config}, kind=KIND, by=by)


def compare(lease: jobs.Lease) -> dict[str, Any]:
    """Do the work of a comparison: score what is missing of the week, then count what flips, detector by detector."""
    former, turns = _turns(lease.job.arguments["config"])
    week = weeks.last_week(turns[0].speaks.version.detector.protocol) if former and turns else None
    if former is None or week is None:
        return {"reason": "no traffic is stored"}
    versions = {str(one.version): one.version for turn in turns for one in (turn.before, turn.after) if one}
    total, unscored = len(versions) + len(turns), 0
    for done, version in enumerate(versions.values()):
        lease.progress(done, total)
        unscored += weeks.complete(version, week)
    told = []
    for done, turn in enumerate(turns, start=len(versions)):
        lease.progress(done, total)
        told.append(_told(turn, week))
    links = [jobs.link(str(former), "models_registry:bundle", former.pk)]
    return {"week": week.to_dict(), "unscored": unscored, "former": str(former), "turns": told, "links": links}


def _told(turn: Turn, week: Week) -> dict[str, Any]:
    found = {direction.value: _figures(turn.flips(direction, week)) for direction in Direction}
    under_test = str(turn.speaks.version)
    names = {"detector": turn.detector, "before": str(turn.before or "–"), "after": str(turn.after or "–")}
    return names | {"under_test": under_test} | found


def _figures(flips: diffs.Flips | None) -> dict[str, Any]:
    if flips is None:
        return {"sessions": 0, "hosts": 0, "asked": "", "groups": []}
    groups = [{name: group[name] for name in SHOWN} for group in flips.groups[:MOST_GROUPS]]
    return {**asdict(flips.extent), "asked": flips.asked, "groups": groups}


def _turns(config: str) -> tuple[Bundle | None, list[Turn]]:
    """Return the bundle in force and the detectors that would speak otherwise. Raises ConfigError."""
    entries = parse_config(config)
    after = {entry.registry_name: _loud(entry) for entry in entries if not entry.is_silent}
    former = builder.in_force(builder.version_of(entries[0]).detector.protocol)
    before = _before(former) if former else {}
    turns = [Turn(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]
    return former, [turn for turn in turns if turn.before != turn.after]


def _before(former: Bundle) -> dict[str, Loud]:
    entries = former.entries.filter(is_silent=False).select_related("version__detector")
    return {entry.version.detector.name: Loud(entry.version, entry.threshold) for entry in entries}


def _loud(entry: ConfigEntry) -> Loud:
    return Loud(builder.version_of(entry), entry.threshold)


def _run_key(former: Bundle, turns: Sequence[Turn]) -> str:
    said = repr([(turn.detector, *map(_exactly, (turn.before, turn.after))) for turn in turns])
    return f"compare {former.digest[:12]} {hashlib.sha256(said.encode()).hexdigest()[:24]}"


def _exactly(loud: Loud | None) -> tuple[int, float] | None:
    return (loud.version.pk, loud.threshold) if loud else None
