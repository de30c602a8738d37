"""What the names of a filter mean in the registry: versions, detectors, and who speaks in the words of the consoles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from detection import filters
from detection.filters import Voice
from detection.filters.looks import Look
from detection.thresholds import raw_threshold
from models_registry.models import Detector, Stage, Version
from traffic.models import Segment
from traffic.services.segments import geo_in_force

IN_FORCE = "[ML]"
UNDER_TEST = "[ML-TEST]"
FLAG = "APP_SERVICE_ML"
Looks = Callable[[str], Look | None]


class RegistryNames:
    """Answers `detection.filters.Names` out of the database, asked once per filter.

    under_test: the version whose words a console would show as a test; without one, the newest silent one of each
    detector, or its newest candidate. looks: what finds a look by its fingerprint."""

    def __init__(self, under_test: Version | None = None, looks: Looks | None = None) -> None:
        self._under_test = under_test
        self._looks = looks

    @cached_property
    def _versions(self) -> dict[str, Version]:
        return {str(version): version for version in Version.objects.select_related("detector").order_by("id")}

    def find(self, name: str) -> Version:
        """Return a version that `version` named."""
        return self._versions[name]

    def version(self, written: str) -> filters.Version | None:
        found = self._versions.get(written) or self._meant(written)
        if found is None:
            return None
        return filters.Version(str(found), raw_threshold(found.threshold), found.detector.protocol)

    def raw_thresholds(self) -> dict[str, float]:
        """Return the raw sum from which each version's verdict is positive."""
        return {name: raw_threshold(found.threshold) for name, found in self._versions.items()}

    def _meant(self, detector: str) -> Version | None:
        """Return the version that a detector's bare name means: under test when one is named, else in force."""
        if self._under_test is not None and self._under_test.detector.name == detector:
            return self._under_test
        return self._newest(detector, Stage.ACTIVE) or self._tested(detector)

    def _tested(self, detector: str) -> Version | None:
        if self._under_test is not None and self._under_test.detector.name == detector:
            return self._under_test
        return self._newest(detector, Stage.SILENT) or self._newest(detector, Stage.CANDIDATE)

    def _newest(self, detector: str, stage: Stage) -> Version | None:
        found = [one for one in self._versions.values() if one.detector.name == detector and one.stage == stage]
        return max(found, key=lambda one: one.number, default=None)

    def known_versions(self) -> Sequence[str]:
        return list(self._versions)

    @cached_property
    def _detectors(self) -> list[Detector]:
        return list(Detector.objects.order_by("name"))

    def detectors(self) -> Sequence[str]:
        return [detector.name for detector in self._detectors]

    def voices(self) -> Sequence[Voice]:
        """Return who says what. The application is named by the version in force, by a tested one only without."""
        voices = []
        for detector in self._detectors:
            said = f"Looks like {detector.positive_class}"
            active, tested = self._newest(detector.name, Stage.ACTIVE), self._tested(detector.name)
            asked = self._meant(detector.name)
            for version, prefix in ((active, IN_FORCE), (tested, UNDER_TEST)):
                if version is not None:
                    names = (detector.positive_class, FLAG) if version == asked else ("", "")
                    voices.append(Voice(str(version), f"{prefix} {said}", *names))
        return voices

    def look(self, written: str) -> Look | None:
        return self._looks(written) if self._looks else None

    def owners_known(self) -> bool:
        """Whether any segment was enriched, or the next one will be."""
        return geo_in_force() is not None or Segment.objects.sealed().exclude(geo_digest="").exists()
