"""The state of the house on one page: boards, queues, and what to do when there is nothing yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from accounts.models import User
from detection.proof import Proof
from labeling.models import Label, Queue, Source
from labeling.services import proofs, queues
from models_registry.models import Detector, Stage, Version
from models_registry.services import boards
from traffic.models import Segment
from triage.services import complaints

VERSIONS_SHOWN = 4  # per detector: the active one, then the newest
OWN_WINDOW = timedelta(days=7)
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
class DetectorState:
    """A detector, the boards of its versions that score, and the queue its unique candidates wait in."""

    detector: Detector
    boards: list[boards.Board]
    queue: Queue | None
    precision: Precision | None


@dataclass(frozen=True, slots=True)
class State:
    """What the home page shows."""

    detectors: list[DetectorState]
    queues: list[queues.Load]
    has_traffic: bool
    complaints: complaints.Figures
    own_labels: int  # answers of the reader in OWN_WINDOW

    @property
    def waiting(self) -> int:
        return sum(load.waiting for load in self.queues)


def state(reader: User) -> State:
    """Collect the page. Sums per segment and bounded counts only: no row of a session is touched."""
    loads = queues.loads()
    unique = {load.queue.detector_id: load.queue for load in loads if load.queue.kind == Queue.Kind.UNIQUE}
    return State(
        detectors=[_detector_state(detector, unique.get(detector.pk)) for detector in Detector.objects.all()],
        queues=loads,
        has_traffic=Segment.objects.sealed().exists(),
        complaints=complaints.figures(),
        own_labels=Label.objects.current()
        .filter(expert=reader, source=Source.EXPERT, created_at__gte=timezone.now() - OWN_WINDOW)
        .count(),
    )


def _detector_state(detector: Detector, unique: Queue | None) -> DetectorState:
    shown = _boards(detector)
    return DetectorState(detector, shown, unique, _precision(shown))


def _precision(shown: list[boards.Board]) -> Precision | None:
    """The boards come with the active version first, then the newest silent one."""
    proven = [board.version for board in shown if board.version.stage in (Stage.ACTIVE, Stage.SILENT)]
    return Precision(proven[0], proofs.prove(proven[0])) if proven else None


def _boards(detector: Detector) -> list[boards.Board]:
    versions = sorted(Version.objects.scoring().filter(detector=detector), key=_shown_first)
    return [boards.board(version, hosts=False) for version in versions[:VERSIONS_SHOWN]]


def _shown_first(version: Version) -> tuple[int, int]:
    return STAGE_ORDER.index(Stage(version.stage)), -version.number
