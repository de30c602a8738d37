"""The graph of a version and of a bundle, drawn by Netron in a frame that reaches nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from models_registry.models import Version
from models_registry.services import bundles, netron
from tests.models_registry.loop import make_loop

CONFIG = 'models:\n- registry_name: "http-attacks"\n  version: 1\n  threshold: 0.5\n  is_silent: true\n'


@pytest.fixture
def version(db: None, tmp_path: Path) -> Version:
    return make_loop(tmp_path)


def test_the_viewer_runs_without_an_origin_and_asks_nobody(auditor_client: Client) -> None:
    answer = auditor_client.get(reverse("models_registry:viewer"))
    policy = answer.headers["Content-Security-Policy"]
    for part in ("sandbox allow-scripts", "connect-src 'self'", "default-src 'none'", "frame-ancestors 'self'"):
        assert part in policy
    assert "allow-same-origin" not in policy
    page = answer.content.decode()
    assert 'src="host.js"' in page
    assert "index.js" not in page  # its own loader tells other hosts who looks, and asks them where that is


def test_other_pages_keep_their_policy(auditor_client: Client) -> None:
    policy = auditor_client.get(reverse("triage:home")).headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "frame-src" not in policy


@pytest.mark.parametrize(
    "name", ["__init__.py", "server.py", "../netron.py", "index.html", "nothing.js", "..%2Fhost.js"]
)
def test_only_parts_of_the_viewer_are_served(name: str) -> None:
    assert netron.asset(name) is None


def test_parts_of_the_viewer_may_be_loaded_without_an_origin(client: Client) -> None:
    answer = client.get(reverse("models_registry:viewer-file", args=["onnx.js"]))
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert client.get(reverse("models_registry:viewer-file", args=["server.py"])).status_code == 404


def test_the_file_is_the_one_that_was_registered(auditor_client: Client, version: Version) -> None:
    answer = auditor_client.get(reverse("models_registry:version-file", args=["http-attacks", 1]))
    assert hashlib.sha256(answer.content).hexdigest() == version.onnx_digest
    bundle = bundles.build(CONFIG)
    answer = auditor_client.get(reverse("models_registry:bundle-file", args=[bundle.pk]))
    assert hashlib.sha256(answer.content).hexdigest() == bundle.digest


def test_a_graph_is_drawn_with_the_network_shut(
    version: Version, auditor: User, sign_in: Callable[[User], Any]
) -> None:
    page = sign_in(auditor)
    home = page.context.pages[0]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(reverse("models_registry:version-graph", args=["http-attacks", 1]))
    frame = page.frame_locator("iframe.graph")
    frame.locator("#canvas .node-item-type").first.wait_for(timeout=20_000)
    shown = frame.locator("#canvas").text_content()
    assert "TreeEnsemble" in shown
    base = home.url.split("/models/")[0]
    assert [url for url in asked if not url.startswith((base, "data:", "blob:"))] == []
