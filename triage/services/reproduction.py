"""What the bundle at the customer says of his evidence, asked with his own scorer and his very bundle file."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

from appliance.scorer import BundleScorer
from detection import vectors
from detection.kits import Kit
from detection.sessions import Row
from detection.sources.flow_ends import joined_row
from detection.sources.pasted import record_of
from detection.sources.values import BadRecordError
from models_registry.models import Bundle, BundleEntry, Customer, Detector, Release
from models_registry.services import publications
from traffic import storage


class CannotScore(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """What was handed in cannot be scored; the message is for the person who did."""


@lru_cache(maxsize=16)
def _scorer(path: str, digest: str) -> BundleScorer:
    return BundleScorer(storage.get_bytes(path), digest)


@lru_cache(maxsize=4)
def _bytes(path: str, digest: str) -> bytes:
    return storage.get_bytes(path)


@dataclass(frozen=True, slots=True)
class Said:
    """What one version of the bundle says."""

    entry: BundleEntry
    score: float

    @property
    def positive(self) -> bool:
        return self.score >= self.entry.threshold

    @property
    def detector(self) -> Detector:
        return self.entry.version.detector


@dataclass(frozen=True, slots=True)
class Scored:
    """Evidence with what the bundle says of it."""

    bundle: Bundle
    row: Row | None  # None: a vector alone
    reads: tuple[str, ...]  # columns of the session that the bundle's models read
    said: tuple[Said, ...]  # one per version of the bundle, in its order
    fired: frozenset[str]  # detectors whose verdict the customer sees
    seconds: float = 0.0
    digest: str = ""  # of the file that was asked

    @property
    def missing(self) -> list[str]:
        """Return what a model would have read and was not told; the score may differ from the customer's."""
        return [name for name in self.reads if self.row[name] is None] if self.row else []

    def of(self, detector: Detector | None = None) -> Said:
        """Return the loud version of a detector, or of the one that is surest. CannotScore without any."""
        known = [one for one in self.said if detector is None or one.detector == detector]
        if not known:
            raise CannotScore(f"{detector} is not in bundle {self.bundle}.")
        loud = [one for one in known if not one.entry.is_silent] or known
        return max(loud, key=lambda one: (one.detector.name in self.fired, one.score - one.entry.threshold))

    def reproduces(self, said: Said, score_told: str) -> bool:
        """Say whether the customer's verdict comes out here too, with his score where he told one."""
        return said.detector.name in self.fired and (not score_told or same_score(score_told, said.score))


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A bundle as a file: as it was built, or as it was delivered, with a latency receipt inside."""

    bundle: Bundle
    path: str
    digest: str


def file_of(bundle: Bundle) -> BundleFile:
    """Return a bundle as it was built: it gives the verdicts of every file that was delivered of it."""
    return BundleFile(bundle, bundle.path, bundle.digest)


def runs(
    customer: Customer | None, named: Bundle | None = None, digest: str = "", protocol: str = ""
) -> BundleFile | None:
    """Return the bundle a customer runs: the very file his kit names, as somebody named, as was published to him, else
    the newest. `digest` is of a file, `protocol` of the evidence, where they are known."""
    if digest and (very := _very_file(digest)):
        return very
    if named is not None or digest:
        return file_of(named) if named else None
    built = Bundle.objects.order_by("-id")
    found = publications.in_force(customer, protocol) if customer else None
    if found is None and protocol:
        found = built.filter(metadata__contract__name=protocol).first()
    found = found or built.first()
    return file_of(found) if found else None


def _very_file(digest: str) -> BundleFile | None:
    delivered = Release.objects.filter(digest=digest).exclude(bundle=None).select_related("bundle").first()
    if delivered is not None and delivered.bundle is not None:
        return BundleFile(delivered.bundle, delivered.path, digest)
    built = Bundle.objects.filter(digest=digest).first()
    return file_of(built) if built else None


def score(text: str, asked: BundleFile, received: datetime) -> Scored:
    """Score what was pasted by a bundle. CannotScore says what was expected."""
    try:
        record = record_of(text, received)
    except BadRecordError as error:
        raise CannotScore(str(error)) from None
    return score_record(record, asked)


def score_record(record: dict[str, Any], asked: BundleFile) -> Scored:
    """Score one parsed EVE record by a bundle, with the end of its flow where it carries it. Raises CannotScore."""
    try:
        row = joined_row(record)
    except BadRecordError as error:
        raise CannotScore(str(error)) from None
    return score_row(row, asked)


def score_row(row: Row, asked: BundleFile) -> Scored:
    """Score a session by a bundle. CannotScore where the bundle reads another protocol."""
    began = time.perf_counter()
    scorer = _scorer(asked.path, asked.digest)
    if row["protocol"] != scorer.protocol:
        raise CannotScore(f"bundle {asked.bundle} reads {scorer.protocol} sessions, this one is {row['protocol']}.")
    verdict = scorer.score_row(row, run_silent=True)
    said = tuple(_said(asked.bundle, verdict.scores))
    took = time.perf_counter() - began
    return Scored(asked.bundle, row, scorer.contract.reads, said, frozenset(verdict.detectors), took, asked.digest)


def score_best(records: Sequence[dict[str, Any]], asked: BundleFile, detector: Detector | None = None) -> Scored:
    """Score several sessions and return the one the bundle is surest of: that is what was flagged. CannotScore."""
    best: Scored | None = None
    problem = CannotScore(_("There is no session in it."))
    for record in records:
        try:
            scored = score_record(record, asked)
            margin = _margin(scored, detector)
        except CannotScore as error:
            problem = error
            continue
        if best is None or margin > _margin(best, detector):
            best = scored
    if best is None:
        raise problem
    return best


def _margin(scored: Scored, detector: Detector | None) -> tuple[bool, float]:
    said = scored.of(detector)
    return said.detector.name in scored.fired, said.score - said.entry.threshold


def score_kit(kit: Kit, asked: BundleFile) -> Scored:
    """Score the feature vector of a kit by a bundle: the same trees, without a session. Raises CannotScore."""
    began = time.perf_counter()
    try:
        found = vectors.scores(_bytes(asked.path, asked.digest), kit.features)
    except vectors.WrongVector as error:
        raise CannotScore(f"{error}.") from None
    said = tuple(_said(asked.bundle, found))
    fired = frozenset(one.detector.name for one in said if one.positive and not one.entry.is_silent)
    return Scored(asked.bundle, None, (), said, fired, time.perf_counter() - began, asked.digest)


def _said(bundle: Bundle, scores: tuple[float, ...]) -> Iterator[Said]:
    entries = bundle.entries.select_related("version__detector").order_by("id")  # written in the bundle's order
    for entry, found in zip(entries, scores, strict=True):
        yield Said(entry, -1.0 if math.isnan(found) else found)


def same_score(told: str, found: float) -> bool:
    """Say whether a score is the one that was told, to as many digits as were told."""
    number = score_told(told)
    return number is not None and abs(Decimal(repr(found)) - number) <= Decimal((0, (5,), _exponent(number) - 1))


def score_told(text: str) -> Decimal | None:
    """Return a score as somebody wrote it, None when it is none: 0 to 1, comma or point."""
    try:
        number = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number <= 1 and -20 <= _exponent(number) <= 0 else None


def _exponent(number: Decimal) -> int:
    exponent: Any = number.as_tuple().exponent
    return int(exponent) if isinstance(exponent, int) else 0
