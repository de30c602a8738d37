"""Experts as processes: each one answers the item on the screen, reads the next one out of the answer, and so on."""

from __future__ import annotations

import multiprocessing
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from urllib.parse import urlencode

ANSWER = urlencode({"answer": "positive", "family": "", "note": ""})
WARM_UP = 10  # answers of each expert that are not counted
_FORM = re.compile(rb'hx-post="/items/(\d+)/label/')
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(slots=True)
class Shift:
    """What one expert did."""

    times: list[float] = field(default_factory=list)  # seconds from key to next item
    items: list[int] = field(default_factory=list)  # answered, warm-up included
    cpu: float = 0.0  # seconds that asking took, warm-up included
    problem: str = ""


def work(port: int, cookies: Sequence[Mapping[str, str]], path: str, seconds: float, thinking: float) -> list[Shift]:
    """Let one expert per set of cookies work at once for so long; return what each did."""
    context = multiprocessing.get_context("fork")
    pipes, processes = [], []
    for own in cookies:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_expert, args=(port, own, path, seconds, thinking, there))
        process.start()
        pipes.append(here)
        processes.append(process)
    shifts: list[Shift] = [pipe.recv() if pipe.poll(seconds + 60) else Shift(problem="no answer") for pipe in pipes]
    for process in processes:
        process.join(10)
    return shifts


def _expert(
    port: int, cookies: Mapping[str, str], path: str, seconds: float, thinking: float, answers: Connection
) -> None:
    shift = Shift()
    try:
        with _Browser(port, cookies) as browser:
            _answer(browser, path, seconds, thinking, shift)
    except Exception as error:
        shift.problem = repr(error)
    shift.cpu = time.process_time()
    answers.send(shift)


def _answer(browser: _Browser, path: str, seconds: float, thinking: float, shift: Shift) -> None:
    item = _shown(*browser.ask("GET", path))
    end = None
    while end is None or time.perf_counter() < end:
        if end is None and len(shift.items) >= WARM_UP:
            end = time.perf_counter() + seconds
        if thinking:
            time.sleep(thinking)
        began = time.perf_counter()
        following = _shown(*browser.ask("POST", f"/items/{item}/label/", ANSWER))
        if end is not None:
            shift.times.append(time.perf_counter() - began)
        shift.items.append(item)
        item = following


def _shown(status: int, page: bytes) -> int:
    found = _FORM.search(page)
    if status != 200 or found is None:
        raise RuntimeError(f"{status}, {page[:300]!r}")
    return int(found[1])


class _Browser:
    """One connection that is kept. Experts share the machine with the server here, which they do nowhere else: what
    http.client takes to read a head would be missing to the server."""

    def __init__(self, port: int, cookies: Mapping[str, str]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = {
            "Host": f"127.0.0.1:{port}",
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "X-CSRFToken": cookies["csrftoken"],
            "HX-Request": "true",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        self._head = "".join(f"{name}: {value}\r\n" for name, value in said.items())

    def __enter__(self) -> _Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, bytes]:
        """Return the status and the page."""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall((head + body).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._received()
        said, _blank, page = answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(said)
        if length is None:
            raise RuntimeError(f"{method} {path}: {said!r}")
        parts, missing = [page], int(length[1]) - len(page)
        while missing > 0:
            parts.append(self._received())
            missing -= len(parts[-1])
        return int(said.split(None, 2)[1]), b"".join(parts)

    def _received(self) -> bytes:
        if not (found := self._socket.recv(1 << 18)):
            raise ConnectionError("the server hung up")
        return found
