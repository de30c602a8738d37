"""The features again, in plain Python: what a product without the graph would run. For comparison only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from detection.contract import Contract, seen_bytes
from detection.features import RECIPES, FeatureSpec, Measure, feature_specs

NAN = float("nan")
_ATOMS = bytes(0x80 if byte >= 0x80 else 0x7F if byte < 0x20 else byte for byte in range(256))


class PythonFeatures:
    """Makes the features of a contract from session rows."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._specs = feature_specs(contract)
        self._sets = {spec.name: bytes(sorted(spec.byteset)) for spec in self._specs}
        self._ratios = {ratio.name: (ratio.above, ratio.below) for ratio in RECIPES[contract].ratios}

    def __call__(self, row: Mapping[str, Any]) -> list[float]:
        """Return the features of a row. Strings that overlap themselves count once, otherwise as the graph."""
        seen = {text.name: seen_bytes(text, row[text.column] or "") for text in self._contract.texts}
        folded = {name: data.lower() for name, data in seen.items()}
        numbers = _numbers(self._contract, row)
        values = []
        for spec in self._specs:
            if spec.measure is Measure.NUMBER:
                values.append(numbers[spec.name])
            elif spec.measure is Measure.RATIO:
                above, below = (numbers[name] for name in self._ratios[spec.name])
                values.append(above / below if below else NAN)
            elif spec.measure is Measure.NEEDLE:
                data = folded[spec.field or ""]
                values.append(sum(map(data.count, spec.needles)))
            else:
                values.append(_shape(spec, seen[spec.field or ""], self._sets[spec.name]))
        return values


def _shape(spec: FeatureSpec, data: bytes, members: bytes) -> float:
    if spec.measure is Measure.SAMENESS:
        squares = sum(count * count for count in Counter(data.translate(_ATOMS)).values())
        return math.sqrt(squares) / len(data) if data else NAN
    count = len(data) - len(data.translate(None, members))
    if spec.measure is Measure.COUNT:
        return count
    return count / len(data) if data else NAN


def _numbers(contract: Contract, row: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: NAN if row[name] is None else row[name] for name in contract.columns}
    for one in contract.derived:
        numbers[one.name] = one.of(*(row[column] for column in one.columns))
    for text in contract.texts:
        value = row[text.column]
        length = NAN if value is None else len(value.encode("utf-8", "surrogatepass"))
        numbers[text.length], numbers[text.was_cut] = length, float(length > text.limit)
    return numbers
