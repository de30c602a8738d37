"""What is wrong with a filter, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FilterError(ValueError):
    """A filter that cannot be asked: what is wrong, at which column (from 1), and what may have been meant."""

    def __init__(self, message: str, column: int, suggestion: str = "") -> None:
        self.message = message
        self.column = column
        self.suggestion = suggestion
        meant = f"; did you mean {suggestion}?" if suggestion else ""
        super().__init__(f"column {column}: {message}{meant}")


def nearest(written: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like what was written, or nothing."""
    found = difflib.get_close_matches(written.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else ""
