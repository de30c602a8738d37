"""The features again, in plain Python: what a product without the graph would run. For comparison only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from detection.contract import HTTP_1, seen_bytes
from detection.features import Measure, feature_specs

NAN = float("nan")
_TEXTS = {text.name: text for text in HTTP_1.texts}
_SPECS = feature_specs(HTTP_1)
_ATOMS = bytes(0x80 if byte >= 0x80 else 0x7F if byte < 0x20 else byte for byte in range(256))
_SETS = {spec.name: bytes(sorted(spec.byteset)) for spec in _SPECS}


def python_features(row: Mapping[str, Any]) -> list[float]:
    """Return the features of a session row. Strings that overlap themselves count once, otherwise as the graph."""
    seen = {name: seen_bytes(text, row[text.column] or "") for name, text in _TEXTS.items()}
    folded = {name: data.lower() for name, data in seen.items()}
    numbers = _numbers(row)
    values = []
    for spec in _SPECS:
        if spec.measure is Measure.NUMBER:
            values.append(numbers[spec.name])
        elif spec.measure is Measure.NEEDLE:
            data = folded[spec.field]
            values.append(sum(map(data.count, spec.needles)))
        else:
            values.append(_shape(spec, seen[spec.field]))
    return values


def _shape(spec: Any, data: bytes) -> float:
    if spec.measure is Measure.SAMENESS:
        squares = sum(count * count for count in Counter(data.translate(_ATOMS)).values())
        return math.sqrt(squares) / len(data) if data else NAN
    count = len(data) - len(data.translate(None, _SETS[spec.name]))
    if spec.measure is Measure.COUNT:
        return count
    return count / len(data) if data else NAN


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: NAN if row[name] is None else row[name] for name in HTTP_1.columns}
    for text in HTTP_1.texts:
        value = row[text.column]
        length = NAN if value is None else len(value.encode("utf-8", "surrogatepass"))
        numbers[text.length], numbers[text.was_cut] = length, float(length > text.limit)
    return numbers
