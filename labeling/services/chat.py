"""One question to a language model behind an OpenAI-compatible address: bounded in time and bytes, trusting nothing.

The standard library is enough: one request, no redirects, no proxies, no retries."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

MOST_BYTES = 64 * 2**10  # of an answer
TOKENS = 200  # of what the model writes


class Unanswered(Exception):  # noqa: N818 (says what is true)
    """There is no answer; the message says why, in words of ours and not of the other side."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A language model and where it answers."""

    url: str  # up to and with "/v1"
    model: str
    key: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


def endpoint() -> Endpoint | None:
    """Return the language model of the settings; None where none is set, which is how a house begins."""
    if not settings.ETALON_SUGGESTIONS_URL:
        return None
    return Endpoint(settings.ETALON_SUGGESTIONS_URL, settings.ETALON_SUGGESTIONS_MODEL, settings.ETALON_SUGGESTIONS_KEY)


def ask(there: Endpoint, messages: Sequence[dict[str, str]], *, seconds: float) -> str:
    """Return what the model wrote. Raises Unanswered."""
    body = {
        "model": there.model,
        "messages": list(messages),
        "temperature": 0,
        "max_tokens": TOKENS,
        "response_format": {"type": "json_object"},
    }
    return _content(_post(there, json.dumps(body).encode(), seconds))


def _post(there: Endpoint, body: bytes, seconds: float) -> bytes:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if there.key:
        headers["Authorization"] = f"Bearer {there.key}"
    connection = _connection(there, seconds)
    try:
        connection.connect()
        with _cut_off(connection.sock, seconds) as is_late:
            try:
                connection.request("POST", f"{urlsplit(there.url).path.rstrip('/')}/chat/completions", body, headers)
                answer = connection.getresponse()
                if answer.status != http.client.OK:
                    raise Unanswered(f"HTTP {answer.status}")
                data = answer.read(MOST_BYTES + 1)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = f"no answer within {seconds:g} s" if is_late.is_set() else _named(error)
                raise Unanswered(reason) from error
            if is_late.is_set():
                raise Unanswered(f"no answer within {seconds:g} s")
    except (OSError, ValueError) as error:  # ValueError: a name or a key that cannot be sent
        raise Unanswered(_named(error)) from error
    finally:
        connection.close()
    if len(data) > MOST_BYTES:
        raise Unanswered(f"more than {MOST_BYTES:,} bytes")
    return data


def _connection(there: Endpoint, seconds: float) -> http.client.HTTPConnection:
    parts = urlsplit(there.url)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=seconds, context=context)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)


@contextmanager
def _cut_off(sock: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """End the exchange after so many seconds in all: a timeout is for one read, and a byte a second never ends."""
    is_late = threading.Event()

    def cut() -> None:
        is_late.set()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield is_late
    finally:
        timer.cancel()


def _named(error: Exception) -> str:
    """Return what went wrong, without a word that the other side wrote."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nobody answers there"
    return type(error).__name__


def _content(data: bytes) -> str:
    try:
        answer: Any = json.loads(data)
        content = answer["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Unanswered("no answer of a language model") from error
    if not isinstance(content, str):
        raise Unanswered("no answer of a language model")
    return content
