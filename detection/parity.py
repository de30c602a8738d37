"""Is the ONNX of a version the model that was trained? Bit for bit, on the rows that are asked about."""

from __future__ import annotations

import numpy as np

from detection.contract import Inputs
from detection.gate import ParityResult, SizeResult
from detection.scoring import Scorer, features


def parity(text_model: str, scorer: Scorer, inputs: Inputs) -> ParityResult:
    """Compare raw scores of the ONNX with LightGBM's own on the same features."""
    if not len(inputs):
        return ParityResult(rows=0, mismatches=0)
    import lightgbm  # loaded when first used

    theirs = lightgbm.Booster(model_str=text_model).predict(
        features(scorer.contract, inputs), raw_score=True, num_threads=1
    )
    ours = scorer.raw(inputs)
    return ParityResult(rows=len(inputs), mismatches=int((ours.view(np.int64) != theirs.view(np.int64)).sum()))


def size(text_model: str, onnx_bytes: int) -> SizeResult:
    """Return what a version weighs: leaves of LightGBM's text model, bytes of the ONNX file."""
    leaves = sum(int(line.split("=", 1)[1]) for line in text_model.splitlines() if line.startswith("num_leaves="))
    return SizeResult(leaves=leaves, bytes=onnx_bytes)
