"""Counts, and nothing but counts: per hour, model and board cell, and pairs of models on the same sessions.

A session is counted when its rule hits have had time to come. Files are readable JSON: an administrator can see every
number before it leaves (docs/formats/telemetry.md)."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

from appliance.home import Home, write_atomically
from appliance.scorer import BundleScorer
from detection.envelopes import seal
from detection.score_bins import score_bin

WAITING = 100_000  # sessions that may wait for their rule hits
LATE = timedelta(hours=1)  # an hour is complete when it has been over for so long
KEPT_DAYS = 90  # of files that were sent
CELLS = ("both", "model_only", "heuristic_only", "neither", "not_inspected")
PAIRS = ("both", "only_a", "only_b", "neither")


@dataclass(slots=True)
class _Counted:
    hour: str
    scorer: BundleScorer
    above: tuple[bool | None, ...]  # by model; None: a silent model that did not run
    scores: tuple[float, ...]  # by model
    hits: list[dict[str, Any]] = field(default_factory=list)


class Counts:
    """Collects what was judged, writes hours to files."""

    def __init__(self, home: Home, *, inspected: bool) -> None:
        self.home = home
        self.inspected = inspected  # does the sensor run rules at all?
        self._waiting: OrderedDict[tuple[Any, Any], _Counted] = OrderedDict()
        self._early: OrderedDict[tuple[Any, Any], list[dict[str, Any]]] = OrderedDict()
        self._sums: dict[tuple[str, str], Counter[str]] = {}
        self._bundles: dict[str, BundleScorer] = {}

    def judged(
        self, scorer: BundleScorer, record: Mapping[str, Any], above: tuple[bool | None, ...], scores: tuple[float, ...]
    ) -> None:
        """Take one answer."""
        key = (record.get("flow_id"), record.get("tx_id"))
        hits = self._early.pop(key, []) + self._early.pop((key[0], None), [])
        self._settle(self._waiting.pop(key, None))
        self._waiting[key] = _Counted(_hour(record.get("timestamp")), scorer, above, scores, hits)
        if len(self._waiting) > WAITING:
            self._settle(self._waiting.popitem(last=False)[1])

    def hit(self, record: Mapping[str, Any]) -> None:
        """Take one rule hit; it belongs to its transaction, or where it names none to its flow's newest session."""
        alert = record.get("alert")
        if not isinstance(alert, dict):
            return
        said = {
            "sid": alert.get("signature_id") if isinstance(alert.get("signature_id"), int) else 0,
            "signature": str(alert.get("signature") or ""),
            "category": str(alert.get("category") or ""),
            "severity": alert.get("severity") if isinstance(alert.get("severity"), int) else None,
        }
        key = (record.get("flow_id"), record.get("tx_id"))
        found = self._waiting.get(key) or self._waiting.get((key[0], 0))
        if found is not None:
            found.hits.append(said)
            return
        self._early.setdefault(key, []).append(said)
        if len(self._early) > WAITING:
            self._early.popitem(last=False)

    def flush(self, *, everything: bool = False) -> list[Path]:
        """Add what is settled to the files of its hours; `everything` also what might still get a hit."""
        keep = 0 if everything else WAITING // 10
        while len(self._waiting) > keep:
            self._settle(self._waiting.popitem(last=False)[1])
        sums, self._sums = self._sums, {}
        written = [self._add(hour, self._bundles[bundle], sums[hour, bundle]) for hour, bundle in sums]
        self._bundles = {}
        return written

    def _settle(self, counted: _Counted | None) -> None:
        if counted is None:
            return
        scorer = counted.scorer
        self._bundles[scorer.bundle] = scorer
        sums = self._sums.setdefault((counted.hour, scorer.bundle), Counter())
        for model, above, score in zip(scorer.models, counted.above, counted.scores, strict=True):
            if above is not None:
                sums[f"{model}/{_cell(above, self._rules(scorer, model, counted.hits))}"] += 1
                sums[f"{model}/scores/{score_bin(score)}"] += 1
        for (a, is_a), (b, is_b) in combinations(zip(scorer.models, counted.above, strict=True), 2):
            if is_a is not None and is_b is not None:
                sums[f"{a}|{b}/{_pair(is_a, is_b)}"] += 1

    def _rules(self, scorer: BundleScorer, model: str, hits: list[dict[str, Any]]) -> bool | None:
        """Return whether a rule of the model's class hit; None where no rules look."""
        mapping = scorer.rules[model.rpartition(":")[0]]
        if any(mapping.matches(hit) for hit in hits):
            return True
        return False if self.inspected else None

    def _add(self, hour: str, scorer: BundleScorer, sums: Counter[str]) -> Path:
        path = self.home.telemetry / f"{hour.replace(':', '')}-{scorer.protocol}-{scorer.bundle[:16]}.json"
        told = next((one for one in (path, path.parent / "sent" / path.name) if one.exists()), None)  # late sessions
        old = json.loads(told.read_bytes()) if told else empty_record(hour, scorer)
        for model in old["models"]:
            for cell in CELLS:
                model[cell] += sums[f"{model['model']}/{cell}"]
            model["scanned"] = sum(model[cell] for cell in CELLS)
            _add_scores(model, sums)
        for pair in old["pairs"]:
            for cell in PAIRS:
                pair[cell] += sums[f"{pair['a']}|{pair['b']}/{cell}"]
        write_atomically(path, json.dumps(old, indent=1).encode())
        return path


def _add_scores(model: dict[str, Any], sums: Counter[str]) -> None:
    begin = f"{model['model']}/scores/"
    told = Counter(model.get("scores", {}))  # an older product did not count them
    for name, count in sums.items():
        if name.startswith(begin):
            told[name.removeprefix(begin)] += count
    model["scores"] = dict(sorted(told.items(), key=lambda one: int(one[0])))


def empty_record(hour: str, scorer: BundleScorer) -> dict[str, Any]:
    """Return the record of an hour without sessions."""
    return {
        "hour": hour,
        "bundle": scorer.bundle,
        "protocol": scorer.protocol,
        "models": [
            {"model": name, "is_silent": silent, "scanned": 0, **dict.fromkeys(CELLS, 0), "scores": {}}
            for name, silent in zip(scorer.models, scorer.silent, strict=True)
        ],
        "pairs": [{"a": a, "b": b, **dict.fromkeys(PAIRS, 0)} for a, b in combinations(scorer.models, 2)],
    }


def due(home: Home, now: datetime) -> Iterator[Path]:
    """Yield the files of hours that are over and not sent, oldest first."""
    for path in sorted(home.telemetry.glob("*.json")):
        hour = datetime.strptime(path.name[:15], "%Y-%m-%dT%H%M").replace(tzinfo=UTC)
        if hour + timedelta(hours=1) + LATE <= now:
            yield path


def envelope(home: Home, path: Path, now: datetime) -> bytes:
    """Return an hour's counts as a signed message."""
    config = home.config()
    body = json.loads(path.read_bytes())
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return seal("telemetry", config["appliance"], home.next_counter(), at, body, home.key())


def sent(home: Home, path: Path, now: datetime) -> None:
    """Put an hour away; forget what was sent long ago."""
    folder = home.telemetry / "sent"
    folder.mkdir(parents=True, exist_ok=True)
    path.replace(folder / path.name)
    oldest = (now - timedelta(days=KEPT_DAYS)).timestamp()
    for old in folder.glob("*.json"):
        if old.stat().st_mtime < oldest:
            old.unlink(missing_ok=True)


def _cell(above: bool, rules: bool | None) -> str:
    if rules is None:
        return "not_inspected"
    return ("both" if rules else "model_only") if above else ("heuristic_only" if rules else "neither")


def _pair(a: bool, b: bool) -> str:
    return ("both" if b else "only_a") if a else ("only_b" if b else "neither")


def _hour(timestamp: Any) -> str:
    try:
        moment = datetime.fromisoformat(str(timestamp)).astimezone(UTC)
    except (ValueError, OverflowError):
        moment = datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:00Z")
