"""The state of the house on one page: boards, queues, and what to do when there is nothing yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from accounts.models import User
from accounts.roles import EXPERTS
from detection.proof import Proof
from jobs.models import Job
from labeling.models import Queue
from labeling.services import labels, outcomes, proofs, queues
from models_registry.models import Detector, LedgerCheck, Rollback, Stage, Version
from models_registry.services import boards, ledger_watch, rollbacks
from traffic.models import Segment, Sensor
from traffic.simulator import SYNTHETIC
from triage.models import Incident
from triage.services import deadlines, lists

VERSIONS_SHOWN = 4  # per detector: the active one, then the newest
WINDOW = timedelta(days=7)
JOBS_COUNTED = 99  # what runs is counted up to here
STAGE_ORDER = (Stage.ACTIVE, Stage.SILENT, Stage.CANDIDATE)


@dataclass(frozen=True, slots=True)
class Precision:
    """What may be claimed of the version that customers see, or of the newest silent one before there is any."""

    version: Version
    proof: Proof | None  # None: no answer yet

    @property
    def percent(self) -> float:
        """The bound, rounded down: nothing is claimed that was not shown."""
        return proofs.percent(self.proof) if self.proof else 0.0


@dataclass(frozen=True, slots=True)
class Challenge:
    """The newest silent version against the active one, over WINDOW."""

    silent: Version
    active: Version
    gain: boards.Gain
    false_positives: int  # of the silent version, as far as experts looked

    @property
    def size(self) -> int:
        return abs(self.gain.unique)


@dataclass(frozen=True, slots=True)
class DetectorState:
    """A detector, the boards of its versions that score, and the queue its unique candidates wait in."""

    detector: Detector
    boards: list[boards.Board]
    queue: Queue | None
    missed: Queue | None
    precision: Precision | None
    challenge: Challenge | None


@dataclass(frozen=True, slots=True)
class Incidents:
    """What the home page tells of the field."""

    open: int
    nearest: Incident | None  # whose clock runs and is due first


@dataclass(frozen=True, slots=True)
class State:
    """What the home page shows."""

    detectors: list[DetectorState]
    queues: list[queues.Load]
    has_traffic: bool
    complaints: lists.Figures
    incidents: Incidents
    rollbacks: list[Rollback]  # that nobody has looked at
    broken: LedgerCheck | None  # the newest reading of the ledger, where it found differences
    week: outcomes.Week | None  # of the reader, who answers or has answered

    @property
    def waiting(self) -> int:
        return sum(load.waiting for load in self.queues)


@dataclass(frozen=True, slots=True)
class Bar:
    """What the bar on top of every page counts."""

    jobs: list[Job]  # that wait or run
    answered_today: int | None  # by the reader; None where answering is not his work
    synthetic: bool  # some of the traffic is the simulator's

    @property
    def more(self) -> bool:
        return len(self.jobs) > JOBS_COUNTED


def bar(reader: User) -> Bar:
    """Collect the bar: three short index scans."""
    today = labels.answered_today(reader) if reader.has_role(*EXPERTS) else None
    synthetic = Sensor.objects.filter(name__startswith=SYNTHETIC).exists()
    return Bar(list(Job.objects.live()[: JOBS_COUNTED + 1]), today, synthetic)


def state(reader: User) -> State:
    """Collect the page. Sums per segment and bounded counts only: no row of a session is touched."""
    loads = queues.loads()
    by_kind = {(load.queue.detector_id, load.queue.kind): load.queue for load in loads}
    week = outcomes.week(reader)
    return State(
        detectors=[_detector_state(detector, by_kind) for detector in Detector.objects.all()],
        queues=loads,
        has_traffic=Segment.objects.sealed().exists(),
        complaints=lists.figures(reader),
        incidents=_incidents(reader),
        rollbacks=list(rollbacks.pending()),
        broken=check if (check := ledger_watch.newest()) and check.differences else None,
        week=week if week.labels or reader.has_role(*EXPERTS) else None,
    )


def _incidents(reader: User) -> Incidents:
    unclosed = Incident.objects.visible_to(reader).unclosed()
    running = unclosed.filter(deadline__stopped_at=None, deadline__paused_at=None).listed()
    return Incidents(unclosed.count(), deadlines.nearest_first(running).first())


def _detector_state(detector: Detector, queue_of: dict[tuple[int, str], Queue]) -> DetectorState:
    shown = _boards(detector)
    unique, missed = (queue_of.get((detector.pk, kind)) for kind in (Queue.Kind.UNIQUE, Queue.Kind.MISSED))
    return DetectorState(detector, shown, unique, missed, _precision(shown), _challenge(shown))


def _challenge(shown: list[boards.Board]) -> Challenge | None:
    active, silent = (
        next((board.version for board in shown if board.version.stage == stage), None)
        for stage in (Stage.ACTIVE, Stage.SILENT)
    )
    if active is None or silent is None:
        return None
    since = timezone.now() - WINDOW
    return Challenge(silent, active, boards.gain(silent, active, since), outcomes.false_positives(silent, since))


def _precision(shown: list[boards.Board]) -> Precision | None:
    """The boards come with the active version first, then the newest silent one."""
    proven = [board.version for board in shown if board.version.stage in (Stage.ACTIVE, Stage.SILENT)]
    return Precision(proven[0], proofs.prove(proven[0])) if proven else None


def _boards(detector: Detector) -> list[boards.Board]:
    versions = sorted(Version.objects.scoring().filter(detector=detector), key=_shown_first)
    return [boards.board(version, hosts=False) for version in versions[:VERSIONS_SHOWN]]


def _shown_first(version: Version) -> tuple[int, int]:
    return STAGE_ORDER.index(Stage(version.stage)), -version.number
