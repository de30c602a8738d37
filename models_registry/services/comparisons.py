"""What another bundle would change for customers: its loud verdicts beside those of the one they have, over the last
week of stored traffic. A job with progress; its result holds the figures and the largest groups."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Difference:
    """What customers have, and the detectors that would speak otherwise."""

    former: Bundle | None
    turns: list[Turn]
    arguments: dict[str, Any]  # of the job

    @property
    def run_key(self) -> str:
        """Alike for differences that would be counted alike; empty where customers would hear the same."""
        if self.former is None or not self.turns:
            return ""
        said = repr([(turn.detector, *map(_exactly, (turn.before, turn.after))) for turn in self.turns])
        return f"compare {self.former.digest[:12]} {hashlib.sha256(said.encode()).hexdigest()[:24]}"


def of_config(config: str) -> Difference:
    """Return what a configuration changes beside the bundle in force. Raises ConfigError."""
    entries = parse_config(config)
    after = {entry.registry_name: _loud(entry) for entry in entries if not entry.is_silent}
    former = builder.in_force(builder.version_of(entries[0]).detector.protocol)
    return Difference(former, _turns(_speaking(former) if former else {}, after), {"config": config})


def of_bundles(former: Bundle, later: Bundle) -> Difference:
    """Return what a bundle changes for those who have another."""
    return Difference(former, _turns(_speaking(former), _speaking(later)), {"bundles": [former.pk, later.pk]})


def last(difference: Difference) -> Job | None:
    """Return what counted a difference last."""
    return Job.objects.filter(run_key=difference.run_key).order_by("-id").first() if difference.run_key else None


def start(difference: Difference, by: User) -> Job | None:
    """Count a difference; None where there is none."""
    if not difference.run_key:
        return None
    return jobs.start(TASK, difference.run_key, difference.arguments, kind=KIND, by=by)


def compare(lease: jobs.Lease) -> dict[str, Any]:
    """Do the work of a comparison: score what is missing of the week, then count what flips, detector by detector."""
    difference = _asked(lease.job.arguments)
    former, turns = difference.former, difference.turns
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


def _asked(arguments: Mapping[str, Any]) -> Difference:
    if "config" in arguments:
        return of_config(arguments["config"])
    former, later = (Bundle.objects.get(pk=pk) for pk in arguments["bundles"])
    return of_bundles(former, later)


def _turns(before: Mapping[str, Loud], after: Mapping[str, Loud]) -> list[Turn]:
    """Return the detectors that would speak otherwise."""
    turns = [Turn(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]
    return [turn for turn in turns if turn.before != turn.after]


def _speaking(bundle: Bundle) -> dict[str, Loud]:
    entries = bundle.entries.filter(is_silent=False).select_related("version__detector")
    return {entry.version.detector.name: Loud(entry.version, entry.threshold) for entry in entries}


def _loud(entry: ConfigEntry) -> Loud:
    return Loud(builder.version_of(entry), entry.threshold)


def _exactly(loud: Loud | None) -> tuple[int, float] | None:
    return (loud.version.pk, loud.threshold) if loud else None
