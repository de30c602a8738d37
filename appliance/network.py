"""The two ways out: an address of the vendor, or a folder on a stick. Reads are bounded; nothing else is ever asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import urllib3
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

CHUNK = 64 * 1024
TIMEOUT = urllib3.Timeout(connect=10, read=30)
LARGEST_ANSWER = 4 * 2**20  # bytes of an answer that is no bundle


class SendFailed(Exception):  # noqa: N818
    """The other side could not be reached, or said no; `status` is 0 where nobody answered."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class AddressFetcher(FetcherInterface):
    """Fetches from the vendor, with the appliance's token."""

    def __init__(self, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=urllib3.Retry(3, backoff_factor=0.5, redirect=0))

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = self._pool.request("GET", url, headers=self._headers, preload_content=False, redirect=False)
        if answer.status >= 300:
            answer.close()
            raise DownloadHTTPError(f"{url} answered {answer.status}", answer.status)
        return self._chunks(answer)

    def _chunks(self, answer: Any) -> Iterator[bytes]:
        try:
            yield from answer.stream(CHUNK, decode_content=False)
        finally:
            answer.release_conn()


class FolderFetcher(FetcherInterface):
    """Fetches from a folder; a name that leads out of it is not found."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(unquote(url.removeprefix("file://"))).resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            raise DownloadHTTPError(f"{path.name} is not there", 404)
        return self._chunks(path)

    def _chunks(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                yield data


def post(url: str, body: bytes, token: str = "", timeout: urllib3.Timeout = TIMEOUT) -> dict[str, Any]:
    """Send JSON and return the answer's. Raises SendFailed."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    pool = urllib3.PoolManager(timeout=timeout, retries=False)
    try:
        answer = pool.request("POST", url, body=body, headers=headers, preload_content=False, redirect=False)
        data = answer.read(LARGEST_ANSWER)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise SendFailed(f"{url}: {error}") from error
    if answer.status >= 300:
        raise SendFailed(f"{url} answered {answer.status}: {data[:300].decode(errors='replace')}", answer.status)
    try:
        found = json.loads(data) if data else {}
    except ValueError as error:
        raise SendFailed(f"{url} answered no JSON", answer.status) from error
    return found if isinstance(found, dict) else {"answer": found}


def folder_url(folder: Path) -> str:
    return f"file://{os.fspath(folder.resolve())}"
