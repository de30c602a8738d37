"""The state of the house on one page: boards, queues, and what to do when there is nothing yet."""

from __future__ import annotations

from dataclasses import dataclass

from labeling.services import queues
from models_registry.models import Detector, Stage, Version
from models_registry.services import boards
from traffic.models import Segment

VERSIONS_SHOWN = 4  # per detector: the active one, then the newest
STAGE_ORDER = (Stage.ACTIVE, Stage.SILENT, Stage.CANDIDATE)


@dataclass(frozen=True, slots=True)
class DetectorState:
    """A detector and the boards of its versions that score."""

    detector: Detector
    boards: list[boards.Board]


@dataclass(frozen=True, slots=True)
class State:
    """What the home page shows."""

    detectors: list[DetectorState]
    queues: list[queues.Load]
    has_traffic: bool

    @property
    def waiting(self) -> int:
        return sum(load.waiting for load in self.queues)


def state() -> State:
    """Collect the page. Sums per segment and bounded counts only: no row of a session is touched."""
    return State(
        detectors=[DetectorState(detector, _boards(detector)) for detector in Detector.objects.all()],
        queues=queues.loads(),
        has_traffic=Segment.objects.sealed().exists(),
    )


def _boards(detector: Detector) -> list[boards.Board]:
    versions = sorted(Version.objects.scoring().filter(detector=detector), key=_shown_first)
    return [boards.board(version, hosts=False) for version in versions[:VERSIONS_SHOWN]]


def _shown_first(version: Version) -> tuple[int, int]:
    return STAGE_ORDER.index(Stage(version.stage)), -version.number
