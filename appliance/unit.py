"""A systemd unit that keeps an appliance scoring, with as few rights as it needs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from appliance.inputs import is_redis

_UNIT = """\
[Unit]
Description=Etalon appliance: scores sessions
After=network.target

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
    """Return the text of a unit for these folders."""
    follow = [] if is_redis(source) else ["--follow"]
    words = [python, "-m", "appliance", "--home", str(home), "score", "--in", source, "--out", sink, *follow]
    command = shlex.join(words).replace("%", "%%")  # systemd reads % as a specifier
    writable = [str(home)] + ([] if is_redis(sink) else [str(Path(sink).parent)])
    return _UNIT.format(command=command, user=user, writable=" ".join(writable))
