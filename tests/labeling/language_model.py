"""A language model on loopback that behaves as well or as badly as a test wants: a real server, no part of ours."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Fake:
    """A language model on loopback: what it was asked, and how it answers."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = says(json.dumps(GOOD))


GOOD = {"answer": "positive", "reason": "a quote and OR in a parameter"}


def says(content: Any) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer as a language model would, with this text."""
    return sends(json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode())


def sends(data: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def drips(handler: BaseHTTPRequestHandler) -> None:
    """A byte at a time: no single read ever waits long."""
    handler.send_response(200)
    handler.end_headers()
    for _turn in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


@pytest.fixture
def model(settings: Any) -> Iterator[Fake]:
    """The language model that the settings name."""
    fake = Fake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            fake.paths.append(self.path)
            fake.headers.append(dict(self.headers))
            fake.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            try:
                fake.answer(self)
            except OSError:  # it was cut off
                self.close_connection = True

        def log_message(self, *_told: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    settings.ETALON_SUGGESTIONS_URL = f"http://127.0.0.1:{server.server_port}/v1/"
    settings.ETALON_SUGGESTIONS_MODEL = "local-7b"
    settings.ETALON_SUGGESTIONS_KEY = "sk-sealed"
    settings.ETALON_SUGGESTIONS_ADDRESSES = False
    settings.ETALON_SUGGESTIONS_PER_DAY = 100
    yield fake
    server.shutdown()
    server.server_close()
