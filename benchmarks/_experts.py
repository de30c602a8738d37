"""Experts as processes: each one answers the item on the screen, reads the next one out of the answer, and so on."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from urllib.parse import urlencode

ANSWER = urlencode({"answer": "positive", "family": "", "note": ""})
WARM_UP = 10  # answers of each expert that are not counted
_FORM = re.compile(rb'hx-post="/items/(\d+)/label/')


@dataclass(slots=True)
class Shift:
    """What one expert did."""

    times: list[float] = field(default_factory=list)  # seconds from key to next item
    items: list[int] = field(default_factory=list)  # answered, warm-up included
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
        _answer(HTTPConnection("127.0.0.1", port, timeout=30), cookies, path, seconds, thinking, shift)
    except Exception as error:
        shift.problem = repr(error)
    answers.send(shift)


def _answer(
    connection: HTTPConnection, cookies: Mapping[str, str], path: str, seconds: float, thinking: float, shift: Shift
) -> None:
    headers = {
        "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        "X-CSRFToken": cookies["csrftoken"],
        "HX-Request": "true",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    item = _shown(connection, "GET", path, None, headers)
    end = None
    while end is None or time.perf_counter() < end:
        if end is None and len(shift.items) >= WARM_UP:
            end = time.perf_counter() + seconds
        if thinking:
            time.sleep(thinking)
        began = time.perf_counter()
        following = _shown(connection, "POST", f"/items/{item}/label/", ANSWER, headers)
        if end is not None:
            shift.times.append(time.perf_counter() - began)
        shift.items.append(item)
        item = following


def _shown(connection: HTTPConnection, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> int:
    connection.request(method, path, body, dict(headers))
    response = connection.getresponse()
    page = response.read()
    found = _FORM.search(page)
    if response.status != 200 or found is None:
        raise RuntimeError(f"{method} {path}: {response.status}, {page[:300]!r}")
    return int(found[1])
