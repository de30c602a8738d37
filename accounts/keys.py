"""Keys of the labelling page that mean the same for every detector: no verdict may lie on them."""

from __future__ import annotations

# answers, tools and places: alike, until, family, go, list, cannot tell, postpone, raw, skip, test, undo, view, work
TAKEN = frozenset("aefgjknprstuvw")


def refused(positive: str, negative: str) -> bool:
    """Say whether two keys cannot be the two verdicts."""
    return positive == negative or bool(TAKEN & {positive, negative})
