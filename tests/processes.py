"""Children of a test that share nothing with it but the files and the database: writers at once, writers that die."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from django.db import connections

CONTEXT = multiprocessing.get_context("fork")
PATIENCE = 20.0  # seconds for what a browser asked for and did not wait for


def fork(target: Callable[..., Any], *arguments: Any) -> ForkProcess:
    """Start a child with `target`; it opens connections of its own and closes them when it ends."""
    close_connections()
    child = CONTEXT.Process(target=_with_own_connections, args=(target, arguments))
    child.start()
    return child


def at_once(target: Callable[..., Any], calls: Iterable[Sequence[Any]], seconds: float = 60) -> list[Any]:
    """Call `target` with each of the arguments in a child of its own; return what each returned, or its error's text.

    All wait for the last before they begin."""
    calls = list(calls)
    start = CONTEXT.Barrier(len(calls))
    children, answers = [], []
    for arguments in calls:
        here, there = CONTEXT.Pipe(duplex=False)
        children.append(fork(_answer, there, start, target, arguments))
        answers.append(here)
    told = [answer.recv() if answer.poll(seconds) else "no answer" for answer in answers]
    for child in children:
        child.join(seconds)
    return told


def close_connections() -> None:
    """Close every connection of this process, and wait for those of threads that still answer a browser.

    A child that inherits one of SQLite's takes no locks of its own: it believes that it has the parent's, and what it
    writes is lost when the parent closes the file (sqlite.org/howtocorrupt.html, 2.6)."""
    connections.close_all()
    # while a browser is open an event loop runs in this thread, and Django keeps connections in another place
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        connections.close_all()
    finally:
        asyncio._set_running_loop(loop)
    _wait(lambda: not _open_databases(), "a thread keeps the database open: a child would inherit it")


def wait_for_requests() -> None:
    """Wait for the live server's threads: what they write late would be the next test's."""
    _wait(lambda: not any("process_request" in one.name for one in threading.enumerate()), "a request does not end")


def _wait(done: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until, otherwise
        time.sleep(0.02)


def _open_databases() -> list[str]:
    """Return the files of SQLite's databases that this process has open, where the system tells."""
    names = {str(one.settings_dict["NAME"]) for one in connections.all() if one.vendor == "sqlite"}
    opened = []
    for link in Path("/proc/self/fd").glob("*"):
        try:
            path = str(link.readlink())
        except OSError:  # closed meanwhile
            continue
        if any(path.startswith(name) for name in names):
            opened.append(path)
    return opened


def _with_own_connections(target: Callable[..., Any], arguments: Sequence[Any]) -> None:
    try:
        target(*arguments)
    finally:
        connections.close_all()


def _answer(answer: Connection, start: Any, target: Callable[..., Any], arguments: Sequence[Any]) -> None:
    start.wait(PATIENCE)
    try:
        answer.send(target(*arguments))
    except Exception as error:
        answer.send(repr(error))
