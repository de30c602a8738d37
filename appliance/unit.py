"""Systemd units that keep an appliance scoring, up to date and heard, with as few rights as each needs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from appliance.inputs import is_redis

_UNIT = """\
[Unit]
Description=Etalon appliance: {description}
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={command}
Restart=always
RestartSec=2
User={user}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
CapabilityBoundingSet=
UMask=0027
ReadWritePaths={writable}
MemoryMax=1G
TasksMax=32
CPUWeight=50

[Install]
WantedBy=multi-user.target
"""


def unit(home: Path, source: str, sink: str, user: str, python: str = sys.executable) -> str:
    """Return the text of the unit that scores."""
    source, sink = _place(source), _place(sink)
    follow = [] if is_redis(source) else ["--follow"]
    writable = [] if is_redis(sink) else [str(Path(sink).parent)]
    return _written("scores sessions", home, ["score", "--in", source, "--out", sink, *follow], writable, user, python)


def unit_of(verb: str, seconds: int, home: Path, user: str, python: str = sys.executable) -> str:
    """Return the text of the unit that updates, or hands over counts, every so many seconds."""
    said = {"update": "takes new bundles", "telemetry": "hands over counts"}[verb]
    return _written(said, home, [verb, "--every", str(seconds)], [], user, python)


def _written(description: str, home: Path, words: list[str], writable: list[str], user: str, python: str) -> str:
    home = home.absolute()
    command = shlex.join([python, "-m", "appliance", "--home", str(home), *words]).replace("%", "%%")  # a specifier
    places = " ".join([str(home), *writable])
    return _UNIT.format(description=description, command=command, user=user, writable=places)


def _place(where: str) -> str:
    """Return a file's whole path: a service starts elsewhere."""
    return where if is_redis(where) else str(Path(where).absolute())
