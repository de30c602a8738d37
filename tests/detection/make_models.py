"""Small models and sessions for tests: trained in a second, bundled in another."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from detection.bundle import Member
from detection.bundle_config import ConfigEntry
from detection.contract import HTTP_1, Inputs, encode, session_columns
from detection.features import feature_specs
from detection.scoring import features
from detection.sessions import COLUMN_NAMES
from detection.trees import build_version_model

FEATURES = len(feature_specs(HTTP_1))
PARTS = (
    *(
        "/",
        "index.php",
        "?id=",
        "1",
        "%27",
        "' or 1=1",
        "../",
        "a",
        "Login",
        ".js",
        "&x=",
        "<script>",
        "${jndi:",
        "é",
        "\0",
    ),
    *(
        "/etc/passwd",
        "%252e",
        "B64AbCdEf0123456789",
        " ",
        "\udcff",
        "select ",
        "union all",
        "\xff",
        "\x01",
        ";wget ",
        "{{",
    ),
)
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64)",
    "curl/8.5.0",
    "",
    None,
    "() { :;}; /bin/ping",
    "${jndi:ldap://x}",
    "M" * 700,
)
HOSTS = ("www.example.com", "192.0.2.8:8080", "", None, "xn--e1afmkfd.test", "q" * 300, "fe80::1")


def make_row(draw: random.Random, **changes: Any) -> dict[str, Any]:
    """One session of odd parts."""
    uri = None if draw.random() < 0.02 else "".join(draw.choices(PARTS, k=draw.choice((0, 1, 3, 8, 20, 200))))
    values = {
        "uri": uri,
        "uri_decoded": uri and uri.replace("%27", "'").replace("%252e", "."),
        "host": draw.choice(HOSTS),
        "user_agent": draw.choice(AGENTS),
        "referer": draw.choice((None, "", "https://www.example.com/a", "http://${jndi:x}/")),
        "content_type": draw.choice((None, "text/html", "application/octet-stream")),
        "method": draw.choice(("GET", "POST", "PROPFIND", "get", None)),
        "status": draw.choice((200, 404, 500, None)),
        "response_bytes": draw.choice((0, 512, 2**40, None)),
        "dst_port": draw.choice((80, 8080, None)),
    }
    return dict.fromkeys(COLUMN_NAMES) | values | changes


def make_rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [make_row(draw) for _ in range(count)]


@cache
def make_inputs(count: int, seed: int = 1) -> Inputs:
    return encode(HTTP_1, session_columns(make_rows(count, seed)))


def make_matrix(count: int, seed: int, width: int = FEATURES, *, missing: float = 0.15) -> NDArray[np.float32]:
    """Random features with NaN and both infinities."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(count, width)).astype(np.float32)
    values[draw.random(values.shape) < missing] = np.nan
    values[draw.random(values.shape) < 0.02] = np.inf
    values[draw.random(values.shape) < 0.02] = -np.inf
    return values


@cache
def make_booster(seed: int = 1, trees: int = 40, leaves: int = 15) -> lightgbm.Booster:
    """A model over the features of real-looking sessions."""
    values = features(HTTP_1, make_inputs(1500, seed))
    draw = np.random.default_rng(seed)
    label = (values[:, 3] > np.nanmedian(values[:, 3])) ^ (draw.random(len(values)) < 0.2)
    return train(values, label.astype(int), seed, trees=trees, leaves=leaves)


def train(
    values: NDArray[np.float32], label: NDArray[Any], seed: int, *, trees: int, leaves: int, **parameters: Any
) -> lightgbm.Booster:
    settings = {
        "objective": "binary",
        "num_leaves": leaves,
        "min_data_in_leaf": 5,
        "seed": seed,
        "verbose": -1,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        **parameters,
    }
    return lightgbm.train(settings, lightgbm.Dataset(values, label), trees)


@cache
def make_version(seed: int = 1, trees: int = 40, leaves: int = 15) -> bytes:
    booster = make_booster(seed, trees, leaves)
    return build_version_model(HTTP_1, booster.dump_model(), {"text_digest": f"text {seed}"})


def make_member(entry: ConfigEntry, seed: int = 1, **changes: Any) -> Member:
    values: dict[str, Any] = {
        "entry": entry,
        "onnx_bytes": make_version(seed),
        "text_digest": f"text {seed}",
        "training_set_digest": f"training set {seed}",
        "protocol": "http",
        "positive_class": "malicious",
        "rule_mapping": {"sids": [2024897], "max_severity": 2},
        "mapping_digest": "mapping",
        "snapshot_digest": "snapshot",
        "gate_report_digest": f"gate {seed}",
    }
    return Member(**(values | changes))
