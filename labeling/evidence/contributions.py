"""Why a version gave a session its score: bars of the features, and marks in the texts on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils.safestring import SafeString

from detection.contract import CONTRACTS
from detection.derived import Code
from detection.explain import Contribution, Explanation
from detection.features import Measure
from detection.scoring import probability
from labeling.evidence.session import texts_of
from labeling.models import Item
from labeling.services.records import from_json
from labeling.wire import Mark, characters, marked
from models_registry.services import versions

STRONGEST = 12  # contributions shown before "all of them"
MOST_MARKED = 0.5  # of a text; more than that would only colour it


@dataclass(frozen=True, slots=True)
class ContributionBar:
    """One feature's share in the raw score, ready to be drawn."""

    title: str
    value: str
    contribution: float
    width: str  # of 100
    is_marked: bool

    @property
    def toward(self) -> bool:
        return self.contribution > 0

    @property
    def size(self) -> str:
        return f"{abs(self.contribution):.2f}"


@dataclass(frozen=True)
class Why:
    """An explanation with its marks mapped to the texts on the page."""

    item: Item
    explanation: Explanation
    row: Mapping[str, Any]

    @property
    def base(self) -> float:
        return float(self.explanation.base)

    @property
    def base_score(self) -> float:
        return float(probability(self.explanation.base))

    @cached_property
    def bars(self) -> list[ContributionBar]:
        items = self._moved
        largest = max((abs(item.contribution) for item in items), default=1.0)
        return [_bar(item, largest, self._coded(item), is_marked=item.feature in self._marks) for item in items]

    def _coded(self, item: Contribution) -> str | None:
        """Return the text behind a code: the number itself says nothing."""
        code = next((one for one in CONTRACTS[self.item.judged.contract].derived if one.name == item.feature), None)
        return code.coded(self.row[code.column]) if isinstance(code, Code) else None

    @property
    def _moved(self) -> list[Contribution]:
        return [item for item in self.explanation.items if item.contribution != 0]

    @property
    def strongest(self) -> list[ContributionBar]:
        return self.bars[:STRONGEST]

    @property
    def others(self) -> list[ContributionBar]:
        return self.bars[STRONGEST:]

    @property
    def texts(self) -> dict[str, SafeString]:
        """The texts a model read, marked where features point at bytes."""
        fields = {text.name: self.row[text.column] or "" for text in texts_of(self.item.judged)}
        return {
            name: marked(text, [mark for field, marks in self._marks.values() if field == name for mark in marks])
            for name, text in fields.items()
        }

    @cached_property
    def _marks(self) -> dict[str, tuple[str, list[Mark]]]:
        """Marks of the strongest features by name: where a feature looked at half a text, it points at nothing."""
        texts = {text.name: text for text in texts_of(self.item.judged)}
        found = {}
        for item in self._moved[:STRONGEST]:
            if item.field is None or item.field not in texts or not item.spans:
                continue
            value = self.row[texts[item.field].column] or ""
            spans = characters(value, texts[item.field].limit, item.spans)
            if len({place for start, end in spans for place in range(start, end)}) <= MOST_MARKED * len(value):
                found[item.feature] = item.field, [Mark(start, end, item.contribution) for start, end in spans]
        return found


def _bar(item: Contribution, largest: float, coded: str | None, *, is_marked: bool) -> ContributionBar:
    width = abs(item.contribution) / largest * 100
    title, value = worded(item.feature, item.title, item.value)
    if coded:
        value = f"{coded[:12]}…" if len(coded) > 12 else coded
    return ContributionBar(title, value, item.contribution, f"{width:.1f}", is_marked)


def worded(feature: str, title: str, value: float) -> tuple[str, str]:
    """Return the title and the value of a feature as people read them: a share in percent."""
    is_share = f".{Measure.SHARE.value}." in feature
    title = title.removesuffix(f", {Measure.SHARE.value}") if is_share else title
    if math.isnan(value):
        return title, "–"  # the session has no such value
    return title, f"{100 * value:.3g} %" if is_share else _figure(value)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:.3g}"


def why(item: Item) -> Why:
    """Return the exact contributions to the score that brought the item here."""
    row = from_json(item.record.row)
    return Why(item, versions.explanation(item.judged, row), row)
