"""What names mean in the tests of filters: two versions, two detectors."""

from __future__ import annotations

from collections.abc import Sequence

from detection.filters import Version, Voice
from detection.filters.looks import Look
from detection.thresholds import raw_threshold

LOOK = ("http", "a.example", "GET", "/search/N?q=W", "", "", "")


class FakeNames:
    """ktalk:3 is under test at 0.7, telegram:1 in force at 0.5."""

    def __init__(self, *, owners: bool = True) -> None:
        self.owners = owners

    def version(self, written: str) -> Version | None:
        thresholds = {"ktalk:3": 0.7, "telegram:1": 0.5}
        name = {"ktalk": "ktalk:3", "telegram": "telegram:1"}.get(written, written)
        return Version(name, raw_threshold(thresholds[name])) if name in thresholds else None

    def known_versions(self) -> Sequence[str]:
        return ["ktalk:3", "telegram:1"]

    def detectors(self) -> Sequence[str]:
        return ["ktalk", "telegram"]

    def voices(self) -> Sequence[Voice]:
        return [
            Voice("ktalk:3", "[ML-TEST] Looks like ktalk.exe", "ktalk.exe", "APP_SERVICE_ML"),
            Voice("telegram:1", "[ML] Looks like Telegram", "Telegram", "APP_SERVICE_ML"),
        ]

    def look(self, written: str) -> Look | None:
        return LOOK if written == "f" * 64 else None

    def owners_known(self) -> bool:
        return self.owners
