"""Why a version gave a session its score: exact TreeSHAP contributions from the stored LightGBM text model.

For pages, one session at a time. Contributions and the base sum up to the raw score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from detection.contract import CONTRACTS, Contract, TextInput, encode, seen_bytes, window_halves
from detection.features import FeatureSpec, feature_specs, spans
from detection.scoring import features
from detection.sessions import Row

if TYPE_CHECKING:
    import lightgbm

CACHED_MODELS = 16  # boosters per process; loading one takes longer than explaining with it


class TamperedModel(ValueError):  # noqa: N818
    """The text model is not the one the version was built from."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature added to the raw score."""

    feature: str
    title: str
    value: float  # NaN = missing
    contribution: float
    field: str | None
    spans: tuple[tuple[int, int], ...]  # where in the text's UTF-8 bytes the feature looked


@dataclass(frozen=True, slots=True)
class Explanation:
    """The contributions of all features, the largest first."""

    base: float
    items: tuple[Contribution, ...]

    @property
    def raw(self) -> float:
        """The raw score, but for the last bits."""
        return self.base + sum(item.contribution for item in self.items)


def contributions(text_model: str, expected_digest: str, contract: Contract, row: Row) -> Explanation:
    """Return why the model gave this session its score; `TamperedModel` when the text is not the expected one."""
    booster = booster_of(text_model, expected_digest)
    values = features(contract, encode(contract, {column: [row[column]] for column in contract.reads}))
    parts = booster.predict(values, pred_contrib=True, num_threads=1)[0]
    specs = feature_specs(contract)
    found = [
        _contribution(spec, contract, row, float(value), float(part))
        for spec, value, part in zip(specs, values[0], parts[:-1], strict=True)
    ]
    return Explanation(float(parts[-1]), tuple(sorted(found, key=lambda item: (-abs(item.contribution), item.feature))))


def warm() -> None:
    """Load what the first explanation of a process would wait for: the library, and the feature graphs."""
    import lightgbm  # noqa: F401 (its import is the wait)

    for contract in CONTRACTS.values():
        empty = encode(contract, {column: [] for column in contract.reads})
        features(contract, empty)


@lru_cache(maxsize=CACHED_MODELS)
def booster_of(text_model: str, expected_digest: str) -> lightgbm.Booster:
    """Return the trees of a text model, read once per process; `TamperedModel` when it is not the expected one."""
    digest = hashlib.sha256(text_model.encode()).hexdigest()
    if digest != expected_digest:
        raise TamperedModel(f"the text model has the digest {digest[:12]}, the version says {expected_digest[:12]}")
    import lightgbm  # only processes that explain carry it

    return lightgbm.Booster(model_str=text_model)


def _contribution(spec: FeatureSpec, contract: Contract, row: Row, value: float, part: float) -> Contribution:
    places: Sequence[tuple[int, int]] = ()
    text = next((text for text in contract.texts if text.name == spec.field), None)
    if text is not None and part and row[text.column]:
        places = _places(spec, text, row[text.column])
    return Contribution(spec.name, spec.title, value, part, spec.field, tuple(places))


def _places(spec: FeatureSpec, text: TextInput, value: str) -> list[tuple[int, int]]:
    """Return the spans in the whole text: the model saw head and tail only when it was cut."""
    found = spans(spec, seen_bytes(text, value))
    size = len(value.encode("utf-8", "surrogatepass"))
    if size <= text.limit:
        return found
    head, _ = window_halves(text.limit)
    shift = size - text.limit
    moved = [(start, end) if end <= head else (start + shift, end + shift) for start, end in found]
    return [place for place, (start, _) in zip(moved, found, strict=True) if start != head]  # the cut mark is no text
