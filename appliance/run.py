"""The loop of an appliance: lines in, verdicts out, bundles switched between two batches, counts kept afterwards.

Answers come first: silent models run when the answers of a batch are out, on all sessions or on a share."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from appliance.home import Home, NotReady
from appliance.inputs import open_input
from appliance.outputs import RedisOutput, open_output
from appliance.scorer import BundleScorer, Verdict, WrongBundle
from appliance.sessions_in import Session, SessionReader
from appliance.telemetry import Counts
from appliance.verdicts import verdict_record
from detection.sources.values import BadRecordError

FLUSH = 30.0  # seconds between writes of counts


@dataclass(frozen=True, slots=True)
class Policy:
    """How an appliance scores."""

    silent_share: float = 1.0  # of sessions that silent models see, after the answer
    only_fired: bool = False  # verdict records of sessions that fired only
    inspected: bool = True  # does the sensor run rules?
    follow: bool = False  # does the input file grow?


@dataclass(slots=True)
class Done:
    """What a run did."""

    lines: int = 0
    bad: int = 0
    sessions: int = 0
    fired: int = 0
    switches: int = 0


class Runner:
    """Scores one input into one output with the bundles in force of a home."""

    def __init__(self, home: Home, source: str, sink: str, policy: Policy | None = None) -> None:
        self.home, self.policy, self.done = home, policy or Policy(), Done()
        self._place = f"scoring-{zlib.crc32(f'{source} {sink}'.encode()):08x}.json"
        kept = home.read(self._place) or {}
        name = home.config()["appliance"]
        self._input, self._client = open_input(source, name, follow=self.policy.follow, state=kept.get("input"))
        self._output = open_output(sink, kept.get("output"))
        self._counts = Counts(home, inspected=self.policy.inspected)
        self._scorers: dict[str, BundleScorer] = {}
        self._seen: float | None = None
        self._load()
        self._reader = SessionReader(frozenset(self._scorers))
        self._reader.resume(kept.get("held", []))

    def run(self, stop: Callable[[], bool] = lambda: False) -> Done:
        """Score until the input ends or `stop` says so; what was answered is settled."""
        last = monotonic()
        for lines in self._input.batches():
            if lines:
                self._batch(lines)
            if monotonic() - last > FLUSH:
                self._counts.flush()
                last = monotonic()
            if stop():
                break
            self._load()
        else:
            self._put_out(list(self._reader.rest()), [])
        self._counts.flush(everything=True)
        self.done.lines, self.done.bad = self._reader.counts.lines, self.done.bad + self._reader.counts.bad
        return self.done

    def _batch(self, lines: list[bytes]) -> None:
        sessions: list[Session] = []
        hits: list[dict[str, Any]] = []
        for line in lines:
            for one in self._reader.read(line):
                sessions.append(one) if isinstance(one, Session) else hits.append(one)
        self._put_out(sessions, hits)

    def _put_out(self, sessions: list[Session], hits: list[dict[str, Any]]) -> None:
        answered = [(one, verdict) for one in sessions if (verdict := self._answer(one)) is not None]
        records = [
            verdict_record(self._scorer(one), one.record, verdict)
            for one, verdict in answered
            if verdict or not self.policy.only_fired
        ]
        self._settle(records)
        self.done.sessions += len(answered)
        self.done.fired += sum(1 for _one, verdict in answered if verdict)
        for one, verdict in answered:
            self._count(one, verdict)
        for hit in hits:
            self._counts.hit(hit)

    def _answer(self, one: Session) -> Verdict | None:
        try:
            return self._scorer(one).score(one.record, one.flow)
        except BadRecordError:
            self.done.bad += 1
            return None

    def _settle(self, records: list[bytes]) -> None:
        """Answers out and input settled: with one Redis in one transaction, with files by one small file."""
        same = isinstance(self._output, RedisOutput) and self._client is not None
        if self._client is not None or isinstance(self._output, RedisOutput):
            client = self._output.client if isinstance(self._output, RedisOutput) else self._client
            with client.pipeline(transaction=True) as pipe:
                self._output.write(records, pipe)
                self._input.settle(pipe if same or self._client is client else None)
                pipe.execute()
        else:
            self._output.write(records, None)
            self._input.settle(None)
        if self._client is None:
            held = self._reader.state()
            self.home.write(self._place, {"input": self._input.state(), "output": self._output.state(), "held": held})

    def _count(self, one: Session, verdict: Verdict) -> None:
        scorer = self._scorer(one)
        if any(scorer.silent) and _lot(one.record) < self.policy.silent_share:
            full = scorer.score_fully(one.record, one.flow)
            self._counts.judged(scorer, one.record, full.above, full.verdict.scores)
        else:
            self._counts.judged(scorer, one.record, scorer.above(verdict), verdict.scores)

    def _scorer(self, one: Session) -> BundleScorer:
        return self._scorers[one.record["event_type"]]

    def _load(self) -> None:
        """Take up the bundles in force, if they have changed. One that cannot be read leaves the old one in place."""
        try:
            changed = (self.home.folder / "in_force.json").stat().st_mtime_ns
        except FileNotFoundError:
            raise NotReady("no bundle is in force yet: run `python -m appliance update` first") from None
        if changed == self._seen:
            return
        self._seen = changed
        for protocol, one in self.home.in_force().items():
            current = self._scorers.get(protocol)
            if current is not None and current.digest == one.digest:
                continue
            try:
                self._scorers[protocol] = BundleScorer.load(self.home.path_of(one.digest), one.digest)
            except (OSError, WrongBundle) as error:
                if current is None:
                    raise
                sys.stderr.write(f"the new {protocol} bundle cannot be read, the one in force stays: {error}\n")
            else:
                self.done.switches += current is not None


def _lot(record: dict[str, Any]) -> float:
    """Return a number in [0, 1) that depends on the session alone."""
    return zlib.crc32(f"{record.get('flow_id')}|{record.get('tx_id')}".encode()) / 2**32
