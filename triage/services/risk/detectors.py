"""Risk scores of hosts from our own detectors: read off the score files of the sensors that an organisation watches.

They come through the same door as what others tell. Active versions speak, as they do at customers; a score counts from
LEAST on whether or not it is a verdict: many weak signs are what hosts at risk are about. Each file is taken once, in
the transaction that keeps its scores; taken again (compaction writes a day anew) it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import structlog
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from detection.thresholds import sigmoid
from models_registry.models import Detector, ScoreFile, Stage, Version
from models_registry.services.scoring import ScoreMismatch, read_scores
from traffic.services import segments
from triage.models import Organisation, RiskWeights, TakenScores, WatchedSensor
from triage.services.risk import organisations, scores
from triage.services.risk.scores import AHEAD, Told

LEAST = 10.0  # of 100: what is smaller says of nearly every session that it is none
QUARTER = 15 * 60 * 1_000_000  # microseconds: days of all time zones begin with one
log = structlog.get_logger(__name__)
Networks = Sequence[IPv4Network | IPv6Network]


def take_waiting() -> int:
    """Take in what no organisation with sensors has read yet; return how many files that were."""
    return sum(take_in(one) for one in Organisation.objects.filter(sensors__isnull=False).distinct())


def take_in(organisation: Organisation) -> int:
    """Take in the score files that wait for an organisation, oldest traffic first; return how many."""
    watched = {one.sensor_id: one for one in organisation.sensors.all()}
    weights = organisations.change_versions(organisation, active() if watched else {})
    taken = 0
    for file in waiting(weights, watched):
        try:
            taken += _take(organisation, file, watched[file.segment.sensor_id])
        except (ScoreMismatch, FileNotFoundError) as error:  # merged or deleted meanwhile: what came of it waits itself
            log.warning("risk.scores_gone", score_file=file.pk, error=str(error))
    return taken


def active() -> dict[str, int]:
    """Return the versions that speak at customers, by their detector's name."""
    found = Version.objects.filter(stage=Stage.ACTIVE, detector__in=Detector.objects.all())
    return dict(found.order_by("detector__name").values_list("detector__name", "number"))


def waiting(weights: RiskWeights, watched: dict[int, WatchedSensor]) -> list[ScoreFile]:
    """Return the score files of watched sensors, by the versions that count, that were not taken in."""
    return list(_waiting(weights, watched).order_by("segment__first_at", "pk"))


def _waiting(weights: RiskWeights, watched: dict[int, WatchedSensor]) -> QuerySet[ScoreFile]:
    taken = TakenScores.objects.filter(organisation=weights.organisation_id)
    of_them = ScoreFile.objects.counted().filter(segment__sensor__in=list(watched), segment__deleted_at=None)
    counting = Q(pk=None)
    # a history that begins anew learns beside the one before it, whose version may still score silently
    for one in RiskWeights.objects.filter(organisation=weights.organisation_id).order_by("-number")[:2]:
        for detector, number in one.versions.items():
            counting |= Q(version__detector__name=detector, version__number=number)
    files = of_them.filter(counting).exclude(path="").exclude(pk__in=taken.values("score_file"))
    return files.select_related("segment", "version__detector")


@transaction.atomic
def _take(organisation: Organisation, file: ScoreFile, watched: WatchedSensor) -> int:
    """Take one file in; 0 when somebody was faster."""
    row, is_new = TakenScores.objects.get_or_create(organisation=organisation, score_file=file)
    if not is_new:
        return 0
    sessions = segments.read_sealed(file.segment, columns=["start", "src_ip", "dst_ip"])
    raw = read_scores(file, columns=["raw"])["raw"].to_numpy()
    zone = ZoneInfo(organisation.time_zone)
    started = sessions["start"].cast(pa.int64()).to_numpy()
    told = largest(sessions, started, raw, watched.inside, zone, file.version)
    future = timezone.now() + AHEAD  # of a sensor whose clock is wrong
    scores.take_in(organisation, [one for one in told if one.at <= future], str(file.version))
    today = timezone.now().astimezone(zone).date().toordinal()
    days = {datetime.fromordinal(day).date() for day in set(_days(started, zone).tolist()) if day <= today}
    scores.hear(organisation, days)
    TakenScores.objects.filter(pk=row.pk).update(hosts=len(told))
    return 1


def largest(
    sessions: pa.Table, started: Any, raw: Any, inside: Networks, zone: ZoneInfo, version: Version
) -> list[Told]:
    """Return the largest score of each host and day. The host of a session is its end that lies inside: the one that
    asks before the one that is asked. started: microseconds since 1970 UTC."""
    score = 100 / (1 + np.exp(-np.clip(raw, -700, 700)))
    rows = np.flatnonzero(score >= LEAST)
    host = _inside(sessions["src_ip"].take(pa.array(rows)), inside)
    asked = _inside(sessions["dst_ip"].take(pa.array(rows)), inside)
    host = np.where(host == "", asked, host)
    rows, host = rows[host != ""], host[host != ""]
    names, codes = np.unique(host.astype(str), return_inverse=True)
    days = _days(started[rows], zone)
    order = np.lexsort((started[rows], -raw[rows], days, codes))
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(codes[order]) != 0) | (np.diff(days[order]) != 0)
    return [
        Told(
            str(names[codes[place]]),
            version.detector.name,
            datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(started[rows[place]])),
            100 * sigmoid(float(raw[rows[place]])),
            version=version.number,
        )
        for place in order[is_first].tolist()
    ]


def _inside(addresses: pa.ChunkedArray, networks: Networks) -> Any:
    """Return addresses as they stand where they lie in a network, and "" elsewhere: object [n]."""
    text = np.asarray(addresses.cast(pa.string()).fill_null("").to_pylist(), object)
    if not len(text):
        return text
    known, places = np.unique(text.astype(str), return_inverse=True)
    return np.array([one if _is_inside(one, networks) else "" for one in known.tolist()], object)[places]


def _is_inside(text: str, networks: Networks) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in one for one in networks)


def _days(started: Any, zone: ZoneInfo) -> Any:
    """Return the ordinal of the day of a zone in which each moment lies."""
    quarters, places = np.unique(np.asarray(started) // QUARTER, return_inverse=True)
    seconds = [int(one) * QUARTER // 1_000_000 for one in quarters]
    return np.array([datetime.fromtimestamp(one, zone).toordinal() for one in seconds], np.int64)[places]
