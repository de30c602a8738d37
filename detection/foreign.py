"""Models from outside: opened first in a process of its own that may use little memory and time, and write nothing.

`inspect` runs `python -m detection.foreign FOLDER` on the files; what that process cannot do, a hostile file cannot."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detection.contract import CONTRACTS, METADATA_PREFIX, Contract, encode
from detection.scoring import RefusedModel, Scorer, check_kind, check_model
from detection.sessions import COLUMNS, Kind

MEMORY = 4 * 2**30  # bytes of address space: the runtimes alone reserve a quarter
SECONDS = 30  # of the processor, and twice as much by the clock
PROBES = 256  # made-up sessions that it must answer
ONNX, TEXT = "model.onnx", "model.txt"
# what our own graphs are made of, and plain arithmetic: nothing that loops, draws lots or opens anything
OPERATORS = frozenset(
    """
    Abs Add And Cast Clip Concat Constant Div Equal Exp Expand Flatten Gather Gemm Greater GreaterOrEqual Identity Less
    LessOrEqual Log MatMul Max Mean Min Mul Neg Not Or Pow ReduceL2 ReduceMax ReduceMean ReduceSum Relu Reshape Scaler
    Sigmoid Slice Softmax Split Sqrt Squeeze Sub Tanh TfIdfVectorizer Transpose TreeEnsemble TreeEnsembleClassifier
    TreeEnsembleRegressor Unsqueeze Where
    """.split()  # noqa: SIM905 - a list of words reads as one
)
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a model from outside is, after it was opened and asked."""

    contract: str  # id of one of CONTRACTS
    metadata: dict[str, Any]
    operators: list[str]
    rows: int  # made-up sessions scored
    mismatches: int  # of these, where the text model says another sum


def inspect(onnx_bytes: bytes, text_model: bytes) -> Inspected:
    """Return what a model is. RefusedModel says why it is none that we would run."""
    check_kind(onnx_bytes)  # the first bytes tell a pickle: no process is needed for that
    with tempfile.TemporaryDirectory(prefix="foreign-") as folder:
        Path(folder, ONNX).write_bytes(onnx_bytes)
        Path(folder, TEXT).write_bytes(text_model)
        answer = _run(folder)
    if "refused" in answer:
        raise RefusedModel(answer["refused"])
    return Inspected(**answer)


def _run(folder: str) -> dict[str, Any]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "detection.foreign", folder],
            cwd=_ROOT,
            env={"PATH": os.environ.get("PATH", ""), "HOME": folder, "TMPDIR": folder, **threads},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RefusedModel(f"opening the model took more than {2 * SECONDS} seconds") from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        limits = f"{MEMORY // 2**30} GiB of memory, {SECONDS} s of processor"
        raise RefusedModel(f"opening the model ended its process ({done.returncode}): {limits} are allowed") from error
    return answer


# In the process of its own


def main(folder: str) -> dict[str, Any]:
    """Limit this process, then open the files. Returns the fields of Inspected, or why the model is refused."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it writes no file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        return asdict(_inspected(Path(folder, ONNX).read_bytes(), Path(folder, TEXT).read_bytes()))
    except RefusedModel as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"refused": f"the model needs more than {MEMORY // 2**30} GiB of memory"}
    except Exception as error:  # whatever a runtime says of a hostile file is an answer about the file
        return {"refused": f"the model cannot be run: {str(error)[:300]}"}


def _inspected(onnx_bytes: bytes, text_model: bytes) -> Inspected:
    check_model(onnx_bytes)
    operators = _check_graph(onnx_bytes)
    scorer = Scorer(onnx_bytes)
    contract = _contract(scorer)
    inputs = encode(contract, probes(contract))
    raw = scorer.raw(inputs)
    if raw.shape != (PROBES,) or not np.isfinite(raw).all():
        raise RefusedModel("the model does not answer every session with one finite number")
    from detection.parity import parity  # lightgbm, and only here

    try:
        text = text_model.decode()
    except UnicodeDecodeError as error:
        raise RefusedModel("the text model is no text") from error
    if not text.startswith("tree\n"):
        raise RefusedModel("the text model is not LightGBM's: it begins with `tree`")
    compared = parity(text, scorer, inputs)
    return Inspected(contract.id, scorer.metadata, operators, compared.rows, compared.mismatches)


def _check_graph(onnx_bytes: bytes) -> list[str]:
    """Refuse operators that we would not run, and inputs and outputs that are not a version's."""
    import onnx

    from detection.features import FEATURES, feature_inputs
    from detection.graph import DOUBLE, FLOAT
    from detection.trees import RAW

    model = onnx.load_from_string(onnx_bytes)
    operators = sorted({node.op_type for node in model.graph.node})
    if strange := [name for name in operators if name not in OPERATORS]:
        raise RefusedModel(f"the model uses the operator {strange[0]}, which none of ours needs")
    properties = {item.key: item.value for item in model.metadata_props}
    if f"{METADATA_PREFIX}contract" not in properties:
        raise RefusedModel(f"the model names no feature contract ({METADATA_PREFIX}contract)")
    try:
        contract = Contract.from_json(properties[f"{METADATA_PREFIX}contract"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RefusedModel("the feature contract in the model cannot be read") from error
    wanted = {value.name: _kind(value) for value in feature_inputs(contract)}
    found = {value.name: _kind(value) for value in model.graph.input}
    if {name: kind for name, (kind, _shape) in found.items()} != {name: kind for name, (kind, _s) in wanted.items()}:
        raise RefusedModel(f"the inputs are {', '.join(found) or 'none'}; a version reads {', '.join(wanted)}")
    outputs = {value.name: _kind(value) for value in model.graph.output}
    for name, kind in ((RAW, DOUBLE), (FEATURES, FLOAT)):
        if outputs.get(name, (0, ()))[0] != kind or len(outputs[name][1]) != 2:
            raise RefusedModel(f"the output {name} is missing or has another type: expected two dimensions of it")
    if outputs[RAW][1][1] != 1:
        raise RefusedModel(f"the output {RAW} has {outputs[RAW][1][1] or 'any number of'} columns, expected one")
    return operators


def _kind(value: Any) -> tuple[int, tuple[int, ...]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, tuple(size.dim_value for size in tensor.shape.dim)


def _contract(scorer: Scorer) -> Contract:
    known = next((one for one in CONTRACTS.values() if one.digest == scorer.contract.digest), None)
    if known is None:
        named = ", ".join(CONTRACTS)
        raise RefusedModel(f"the feature contract {scorer.contract.id!r} is none of ours ({named}), or differs from it")
    return known


def probes(contract: Contract) -> dict[str, list[Any]]:
    """Return made-up sessions, the same each time: texts of any bytes and lengths, numbers, and missing values."""
    draw = np.random.default_rng(7)
    kinds = {column.name: column.kind for column in COLUMNS}

    def value(name: str) -> Any:
        if draw.random() < 0.1:
            return None
        if kinds[name] is Kind.TEXT:
            return "".join(map(chr, draw.integers(32, 256, draw.integers(0, 700)).tolist()))
        return int(draw.integers(0, 1 << int(draw.integers(1, 50))))

    return {name: [value(name) for _ in range(PROBES)] for name in contract.reads}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))  # noqa: T201 - the answer to the parent
