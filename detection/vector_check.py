"""Compare our numbers with a file of test vectors: cases, mismatches, the largest relative error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Case:
    """One value of the file and ours. None: must not be produced, or was not."""

    where: str
    expected: Any
    found: Any
    tolerance: float = 1e-6  # relative; absolute where 0 is expected

    @property
    def error(self) -> float:
        """Return the relative error; infinity where anything else differs."""
        expected, found = self.expected, self.found
        if isinstance(expected, bool | str) or expected is None or found is None:
            return 0.0 if expected == found else float("inf")
        return float(abs(found - expected) / (abs(expected) or 1.0))

    @property
    def agrees(self) -> bool:
        return self.error <= self.tolerance


def main(module: str, cases: Callable[[Mapping[str, Any]], Iterable[Case]], arguments: Sequence[str]) -> int:
    """Run `check FILE`; return 0 when every case agrees, 1 on any mismatch, 2 for a file that is none."""
    if len(arguments) != 2 or arguments[0] != "check":
        print(f"usage: python -m {module} check FILE")  # noqa: T201
        return 2
    try:
        found = list(cases(json.loads(Path(arguments[1]).read_text(encoding="utf-8"))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"{arguments[1]}: {type(error).__name__}: {error}")  # noqa: T201
        return 2
    wrong = [case for case in found if not case.agrees]
    for case in wrong[:_SHOWN]:
        print(f"{case.where}: expected {case.expected}, got {case.found}")  # noqa: T201
    largest = max((case.error for case in found), default=0.0)
    print(f"cases {len(found)}, mismatches {len(wrong)}, largest relative error {largest:.3g}")  # noqa: T201
    return 1 if wrong or not found else 0
