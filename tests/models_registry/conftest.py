"""Training takes seconds, and the same rows give the same bytes: tests share what they trained."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from detection.contract import Contract
from detection.training import Progress, TrainedModel, TrainingPolicy, TrainingRows, train, write_training_set
from models_registry.services import training

_trained: dict[tuple[object, ...], TrainedModel] = {}


@pytest.fixture(autouse=True)
def train_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def remembered(
        rows: TrainingRows,
        contract: Contract,
        policy: TrainingPolicy,
        metadata: Mapping[str, str],
        progress: Progress | None = None,
    ) -> TrainedModel:
        key = (write_training_set(rows), contract, policy, tuple(sorted(metadata.items())))
        if key not in _trained:
            _trained[key] = train(rows, contract, policy, metadata, progress)
        return _trained[key]

    monkeypatch.setattr(training, "train", remembered)
