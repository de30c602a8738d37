"""A candidate over stored sessions: files read and checked, rule verdicts, score files, board counts, parts of the job.

Against bare scoring: the same model on the same sessions, which lie in memory as columns of texts and numbers; 1 / 1.3
is "within 1.3x". A second row leaves out their encoding too, and shows what the runtime alone would take. One core, a
process of its own with an empty database and store; each round of ours is followed by one of theirs.
"""

from __future__ import annotations

import json
import os
import statistics
from functools import partial
from typing import Any

from benchmarks._clock import Took, ratios, took
from benchmarks._house import measured_apart
from benchmarks.intake import Chain
from benchmarks.traffic_files import is_session, real_lines, repeated

ROUNDS = 5
COPIES = 12  # of the shared logs' sessions
TARGET = 1 / 1.3


def rows() -> list[dict[str, Any]]:
    """Return the rate against bare scoring, and against scoring from columns of Python texts."""
    return measured_apart("candidate")


def measure() -> list[dict[str, Any]]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from models_registry.models import Version
    from models_registry.services import versions

    lines = list(repeated([line for line in real_lines() if is_session(line)], COPIES))
    Chain(lines).took(lines)  # takes them in; its own version scores them too
    version = Version.objects.get()
    columns, inputs = _in_memory(version)
    bare = versions.scorer(version).raw
    encoded = partial(_each, bare, inputs)
    whole = partial(_each, lambda one: bare(_encode(version, one)), columns)
    times = [(_candidate(version), took(encoded), took(whole)) for _ in range(ROUNDS)]
    count = sum(map(len, inputs))
    name = "candidate over stored sessions, sessions/s"
    found = [
        _row(name, count, [(ours, theirs) for ours, _, theirs in times], "bare scoring of columns in memory", TARGET),
        _row(name, count, [(ours, theirs) for ours, theirs, _ in times], "the runtime on encoded sessions", None),
    ]
    return [*found, _shares(times)]


def _shares(times: list[tuple[Took, Took, Took]]) -> dict[str, Any]:
    """Say what of a candidate's time the runtime takes, and what of bare scoring's."""
    ours = statistics.median(runtime.wall / candidate.wall for candidate, runtime, _ in times)
    theirs = statistics.median(runtime.wall / bare.wall for _, runtime, bare in times)
    return {
        "name": "candidate over stored sessions, share of the runtime",
        "ours": round(ours, 3),
        "against": "its share of bare scoring; the rest there is encoding texts",
        "theirs": round(theirs, 3),
        "ratio": round(ours / theirs, 3),
        "target": None,
        "holds": True,
    }


def _in_memory(version: Any) -> tuple[list[Any], list[Any]]:
    """Return the stored sessions as columns and as encoded inputs, a list of segments each."""
    from detection.tables import columns_of
    from models_registry.services import versions
    from traffic.models import Segment
    from traffic.services import segments

    contract = versions.contract(version)
    names = [*(text.column for text in contract.texts), *contract.columns]
    tables = [segments.read_sessions(segment, names).select(names) for segment in Segment.objects.sealed()]
    columns = [columns_of(table) for table in tables]
    return columns, [_encode(version, one) for one in columns]


def _encode(version: Any, columns: Any) -> Any:
    from detection.contract import encode
    from models_registry.services import versions

    return encode(versions.contract(version), columns)


def _candidate(version: Any) -> Took:
    """Score a fresh candidate of the same files over the store, as one worker would; return the seconds."""
    from jobs.models import Job, State
    from jobs.services import parts
    from models_registry.models import Stage, Version
    from models_registry.services import candidates

    version.pk, version.number, version.stage = None, Version.objects.count() + 1, Stage.CANDIDATE
    version._state.adding = True
    version.save()
    job = candidates.start(version)
    seconds = took(lambda: parts.run(job.pk, lambda segment: candidates.score_part(job, segment)))
    assert Job.objects.get(pk=job.pk).state == State.DONE
    assert candidates.coverage(version).complete
    return seconds


def _each(work: Any, things: list[Any]) -> None:
    for one in things:
        work(one)


def _row(name: str, count: int, times: list[tuple[Took, Took]], against: str, target: float | None) -> dict[str, Any]:
    ratio, cpu = ratios(times)
    return {
        "name": name,
        "ours": round(count / statistics.median(ours.wall for ours, _ in times)),
        "against": against,
        "theirs": round(count / statistics.median(theirs.wall for _, theirs in times)),
        "ratio": round(ratio, 3),
        "cpu": round(cpu, 3),
        "target": None if target is None else round(target, 3),
        "holds": target is None or ratio >= target,
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    print(json.dumps(measure()))
