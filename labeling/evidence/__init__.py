"""What a labelling page shows of an item: one subject per file."""

from labeling.evidence.contributions import Why, why
from labeling.evidence.session import Evidence
from labeling.evidence.verdicts import Bar, bars_today

__all__ = ["Bar", "Evidence", "Why", "bars_today", "why"]
