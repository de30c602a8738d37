"""Small labelled traffic for tests: attacks are told from their target, and sources differ in their ports."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from detection.sessions import COLUMN_NAMES
from detection.training import TrainingRows, group_of

ATTACKS = ("/../../etc/passwd", "/?q=<script>alert(1)</script>", "/?id=1' union select 1,2--", "/cgi-bin/x;wget%20y")
PAGES = ("/", "/index.html", "/news/article-{}", "/static/app.js?v={}", "/api/items/{}")
SOURCES = ("alpha", "beta", "gamma")


def make_session(uri: str, **changes: Any) -> dict[str, Any]:
    """One HTTP session row."""
    values = {
        "start": 1_700_000_000_000_000,
        "flow_id": 1,
        "tx_id": 0,
        "protocol": "http",
        "src_ip": "192.0.2.7",
        "dst_ip": "198.51.100.9",
        "dst_port": 80,
        "host": "www.example.com",
        "method": "GET",
        "uri": uri,
        "uri_decoded": uri.replace("%20", " "),
        "user_agent": "Mozilla/5.0",
        "status": 200,
        "content_type": "text/html",
        "response_bytes": 512,
        "flow_sessions": 1,
        "hits": [],
    }
    return dict.fromkeys(COLUMN_NAMES) | values | changes


def make_training_rows(count: int = 240, *, seed: int = 1, attacks: float = 0.25, **changes: Any) -> TrainingRows:
    """Rows of three sources, a quarter attacks; `changes` replaces whole columns of the training rows."""
    draw = random.Random(seed)
    label = [int(number < count * attacks) for number in range(count)]
    draw.shuffle(label)
    sessions = []
    for number, is_attack in enumerate(label):
        target = draw.choice(ATTACKS) if is_attack else draw.choice(PAGES).format(draw.randrange(10**6))
        port = 8_000 + SOURCES.index(SOURCES[number % 3])
        sessions.append(make_session(f"{target}{'&' if is_attack else ''}", flow_id=number, dst_port=port))
    values: dict[str, Any] = {
        "rows": {name: [session[name] for session in sessions] for name in COLUMN_NAMES},
        "label": np.array(label, dtype=np.int8),
        "weight": np.ones(count),
        "source": [SOURCES[number % 3] for number in range(count)],
        "origin": ["rule" if is_attack else "background" for is_attack in label],
        "group": [group_of(f"{number // 2:064x}", "192.0.2.7") for number in range(count)],
        "key": [f"sensor|{number}|0|1700000000000000" for number in range(count)],
    }
    return TrainingRows(**(values | changes))
