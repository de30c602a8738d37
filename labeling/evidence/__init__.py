"""What a labelling page shows of an item: one subject per file."""

from labeling.evidence.contributions import Why, why
from labeling.evidence.group import Group
from labeling.evidence.looks_like import LooksLike, looks_like
from labeling.evidence.others import Others
from labeling.evidence.place import PlaceInQueue
from labeling.evidence.session import Evidence
from labeling.evidence.verdicts import Bar, bars_today

__all__ = ["Bar", "Evidence", "Group", "LooksLike", "Others", "PlaceInQueue", "Why", "bars_today", "looks_like", "why"]
