"""A candidate over stored sessions: files read and checked, rule verdicts, score files, board counts, parts of the job.

By one worker and by two, each a process on a core of its own, against as many processes that score the same sessions
out of memory with the same model, from columns of texts and numbers: 1 / 1.3 is "within 1.3x". A round is one of ours
and one of theirs. ETALON_BENCH_SESSIONS says how many sessions lie in the store; 10000000 is what is promised, takes
minutes and 3 GB beside the temporary files, and one round of it says as much as three of few.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks._clock import Took, ratios, took
from benchmarks._house import measured_apart, prepare_django
from benchmarks.intake import Chain
from benchmarks.traffic_files import is_session, real_lines, repeated

ROUNDS = 3
LONG = 4_000_000  # sessions: from here on a round takes half a minute, and is the only one
COPIES = 19  # of the shared logs' sessions: one full segment of 50,000
SESSIONS = 400_000
TARGET = 1 / 1.3
READY, GO = "ready", "go\n"


def rows() -> list[dict[str, Any]]:
    """Return the rate against bare scoring, by one worker and by two."""
    return measured_apart("candidate")


def measure() -> list[dict[str, Any]]:
    from models_registry.models import Version

    lines = list(repeated([line for line in real_lines() if is_session(line)], COPIES))
    Chain(lines).took(lines)  # takes them in; its own version scores them too
    sessions = _fill(int(os.environ.get("ETALON_BENCH_SESSIONS", SESSIONS)))
    version = Version.objects.get()
    found = []
    for workers in (1, 2):
        if workers > len(os.sched_getaffinity(0)):
            continue
        rounds = ROUNDS if sessions < LONG else 1
        times = [_round(version, workers, sessions, number, rounds) for number in range(rounds)]
        found.append(
            _row(f"candidate over {sessions:,} stored sessions, workers: {workers}, sessions/s", sessions, times)
        )
    return found


def _fill(sessions: int) -> int:
    """Store the largest segment again and again under other numbers; return how many sessions there are."""
    import pyarrow as pa

    from detection import tables
    from traffic import storage
    from traffic.models import Segment
    from traffic.services import segments

    largest = Segment.objects.filter(protocol="http").order_by("-rows")[0]
    Segment.objects.exclude(pk=largest.pk).update(protocol="none")
    table, stored = segments.read_sessions(largest), largest.rows
    while stored + largest.rows // 2 < sessions:
        largest.pk, largest._state.adding = None, True
        largest.save()
        largest.sessions_path = f"bench/{largest.pk}.sessions.parquet"
        own = pa.array(tables.rids(largest.pk, largest.rows))
        copy = table.set_column(table.schema.get_field_index("rid"), "rid", own).cast(tables.SESSION_SCHEMA)
        largest.digest = storage.put_table(largest.sessions_path, copy, **tables.SESSION_OPTIONS)
        largest.save()
        stored += largest.rows
    print(f"  {stored:,} sessions stored", file=sys.stderr, flush=True)
    return stored


def _round(version: Any, workers: int, sessions: int, number: int, rounds: int) -> tuple[Took, Took]:
    ours, theirs = _candidate(version, workers), _bare(version, workers, sessions)
    print(
        f"  workers: {workers}, round {number + 1} of {rounds}: {ours.wall:,.1f} s, processor {ours.cpu:,.1f} s;"
        f" bare {theirs.wall:,.1f} s, processor {theirs.cpu:,.1f} s",
        file=sys.stderr,
        flush=True,
    )
    return ours, theirs


def _candidate(version: Any, workers: int) -> Took:
    """Score a fresh candidate of the same files over the store; return the seconds."""
    from jobs.models import Job, State
    from models_registry.models import Stage, Version
    from models_registry.services import candidates

    version.pk, version.number, version.stage = None, Version.objects.count() + 1, Stage.CANDIDATE
    version._state.adding = True
    version.save()
    job = candidates.start(version)
    seconds = _together(workers, "parts", job.pk)
    assert Job.objects.get(pk=job.pk).state == State.DONE
    assert candidates.coverage(version).complete
    return seconds


def _bare(version: Any, workers: int, sessions: int) -> Took:
    """Score as many sessions out of memory; return the seconds."""
    return _together(workers, "bare", version.pk, sessions // workers)


def _together(workers: int, *words: Any) -> Took:
    """Run as many processes of this module, all loaded and waiting before the first begins.

    The wall's time is the slowest one's, the processor's is everybody's."""
    cores = sorted(os.sched_getaffinity(0))
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.candidate", *map(str, words), str(cores[number])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(workers)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline().strip() == READY
    for process in started:
        assert process.stdin is not None
        process.stdin.write(GO)
        process.stdin.flush()
    told = [json.loads(process.communicate()[0]) for process in started]
    return Took(max(one["wall"] for one in told), sum(one["cpu"] for one in told))


def _row(name: str, count: int, times: list[tuple[Took, Took]]) -> dict[str, Any]:
    ratio, cpu = ratios(times)
    return {
        "name": name,
        "ours": round(count / statistics.median(ours.wall for ours, _ in times)),
        "against": "bare scoring of columns in memory, as many processes",
        "theirs": round(count / statistics.median(theirs.wall for _, theirs in times)),
        "ratio": round(ratio, 3),
        "cpu": round(cpu, 3),
        "target": round(TARGET, 3),
        "holds": ratio >= TARGET,
    }


# --- a process of its own


def _work(words: list[str]) -> None:
    *told, core = words
    os.sched_setaffinity(0, {int(core)})
    work = _parts_of(int(told[1])) if told[0] == "parts" else _bare_of(int(told[1]), int(told[2]))
    print(READY, flush=True)
    sys.stdin.readline()
    seconds = took(work)
    print(json.dumps({"wall": seconds.wall, "cpu": seconds.cpu}))


def _parts_of(pk: int) -> Callable[[], Any]:
    from jobs.models import Job
    from jobs.services import parts
    from models_registry.models import Version
    from models_registry.services import candidates, versions

    job = Job.objects.get(pk=pk)
    versions.scorer(Version.objects.get(pk=job.arguments["version"]))  # loaded, as in a worker that has worked before
    return lambda: parts.run(pk, lambda segment: candidates.score_part(job, segment))


def _bare_of(pk: int, sessions: int) -> Callable[[], Any]:
    from detection.contract import encode
    from detection.tables import columns_of
    from models_registry.models import Version
    from models_registry.services import versions
    from traffic.models import Segment
    from traffic.services import segments

    version = Version.objects.get(pk=pk)
    scorer, contract = versions.scorer(version), versions.contract(version)
    segment = Segment.objects.filter(protocol="http").order_by("-rows")[0]
    names = [*(text.column for text in contract.texts), *contract.columns]
    columns = columns_of(segments.read_sessions(segment, names).select(names))

    def score() -> None:
        left = sessions
        while left > 0:
            some = columns if left >= segment.rows else {name: values[:left] for name, values in columns.items()}
            scorer.raw(encode(contract, some))
            left -= segment.rows

    return score


if __name__ == "__main__":
    prepare_django()
    if sys.argv[1:]:
        _work(sys.argv[1:])
    else:
        print(json.dumps(measure()))
