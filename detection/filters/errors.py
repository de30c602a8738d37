"""What is wrong with a filter, and where."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


def _(text: str) -> str:
    """Mark a sentence that people read: pages translate it."""
    return text


class FilterError(ValueError):
    """A filter that cannot be asked: what is wrong, at which column (from 1), and what may have been meant.

    `values` fill the sentence; several alternatives are a tuple."""

    def __init__(self, sentence: str, column: int, suggestion: str = "", **values: str | int | tuple[str, ...]) -> None:
        self.sentence = sentence
        self.column = column
        self.suggestion = suggestion
        self.values = values
        super().__init__(self.told())

    def told(self, say: Callable[[str], str] = str) -> str:
        """Return what is wrong in the language that `say` translates sentences to."""
        values = {
            name: say(_(" or ")).join(map(say, value)) if isinstance(value, tuple) else value
            for name, value in self.values.items()
        }
        message = say(self.sentence).format(**values)
        meant = say(_("; did you mean {suggestion}?")).format(suggestion=self.suggestion) if self.suggestion else ""
        return say(_("column {column}: {message}")).format(column=self.column, message=message) + meant


def nearest(written: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like what was written, or nothing."""
    found = difflib.get_close_matches(written.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else ""
