"""Why a model scored a session as it did: exact contributions of every feature, and where in the texts they looked.

LightGBM's `pred_contrib` on the stored text model is exact TreeSHAP (Lundberg et al. 2018): base and contributions add
up to the raw score.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from detection.contract import Contract, encode, seen_bytes
from detection.features import FeatureSpec, feature_specs, spans
from detection.scoring import features
from detection.sessions import Row


class TamperedModel(ValueError):  # noqa: N818
    """The text model is not the one that the version was built of."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """One feature's part in a raw score; `spans` are byte ranges of the field as the model saw it."""

    feature: str
    title: str
    value: float
    contribution: float
    field: str | None
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions by size; base plus their sum is the raw score."""

    base: float
    items: tuple[Contribution, ...]


def contributions(text_model: str, expected_digest: str, contract: Contract, row: Row) -> Explanation:
    """Return the exact contributions to one session's raw score; TamperedModel when the digest does not match."""
    if hashlib.sha256(text_model.encode()).hexdigest() != expected_digest:
        raise TamperedModel("the text model is not the one this version was built of: restore it from a backup")
    values = features(contract, encode(contract, {name: [value] for name, value in row.items()}))
    *parts, base = _booster(text_model).predict(values, pred_contrib=True, num_threads=1)[0].tolist()
    found = [
        Contribution(spec.name, spec.title, value, part, spec.field, tuple(_spans(spec, contract, row)))
        for spec, value, part in zip(feature_specs(contract), values[0].tolist(), parts, strict=True)
    ]
    return Explanation(base, tuple(sorted(found, key=lambda item: (-abs(item.contribution), item.feature))))


def _spans(spec: FeatureSpec, contract: Contract, row: Row) -> list[tuple[int, int]]:
    for text in contract.texts:
        if text.name == spec.field and row[text.column]:
            return spans(spec, seen_bytes(text, row[text.column]))
    return []


@lru_cache(maxsize=16)  # loading takes longer than explaining
def _booster(text_model: str) -> Any:
    import lightgbm  # loaded when first used

    return lightgbm.Booster(model_str=text_model)
