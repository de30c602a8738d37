"""Running the `suricata` program over a saved capture: which program, which configuration, what it wrote."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings

from detection.classtypes import CLASSTYPES

HINT = (
    "Install Suricata (on Debian: apt-get install suricata, of older releases from backports) or name the program in "
    "ETALON_SURICATA; or run it yourself and take in the eve.json it writes"
)
_LOG_LINES = 3  # of what it said before it failed
_GAVE_UP = "pcap file reader thread failed to initialize"  # after these words it waits a minute, and ends

_CONFIG = """\
%YAML 1.1
---
vars:
  address-groups:
    HOME_NET: "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"
    EXTERNAL_NET: "any"
    HTTP_SERVERS: "$HOME_NET"
    SMTP_SERVERS: "$HOME_NET"
    SQL_SERVERS: "$HOME_NET"
    DNS_SERVERS: "$HOME_NET"
    TELNET_SERVERS: "$HOME_NET"
    AIM_SERVERS: "$EXTERNAL_NET"
    DC_SERVERS: "$HOME_NET"
    DNP3_SERVER: "$HOME_NET"
    DNP3_CLIENT: "$HOME_NET"
    MODBUS_CLIENT: "$HOME_NET"
    MODBUS_SERVER: "$HOME_NET"
    ENIP_CLIENT: "$HOME_NET"
    ENIP_SERVER: "$HOME_NET"
  port-groups:
    HTTP_PORTS: "80"
    SHELLCODE_PORTS: "!80"
    ORACLE_PORTS: 1521
    SSH_PORTS: 22
    DNP3_PORTS: 20000
    MODBUS_PORTS: 502
    FILE_DATA_PORTS: "[$HTTP_PORTS,110,143]"
    FTP_PORTS: 21
    GENEVE_PORTS: 6081
    VXLAN_PORTS: 4789
    TEREDO_PORTS: 3544
classification-file: {folder}/classification.config
reference-config-file: {folder}/reference.config
threshold-file: {folder}/threshold.config
default-rule-path: {folder}
rule-files: []
stats:
  enabled: no
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      pcap-file: true
      community-id: true
      types:
        - alert:
            metadata: yes
        - http:
            extended: yes
            dump-all-headers: both
        - tls:
            extended: yes
            ja3: yes
            ja3s: yes
            ja4: yes
        - files:
            force-magic: yes
            force-hash: [sha256]
        - flow
app-layer:
  protocols:
    tls:
      enabled: yes
      detection-ports:
        dp: "443, 8443"
      ja3-fingerprints: yes
      ja4-fingerprints: yes
    http2:
      enabled: yes
    http:
      enabled: yes
      libhtp:
        default-config:
          personality: IDS
          request-body-limit: 100kb
          response-body-limit: 100kb
logging:
  default-log-level: notice
  outputs:
    - console:
        enabled: yes
"""


class SuricataError(Exception):
    """The capture could not be read; the message is for the person who brought it."""


@contextmanager
def eve_of(capture: Path) -> Iterator[Path]:
    """Run Suricata over a capture and yield the EVE log it wrote; it is gone when the block ends."""
    program = _program()
    with TemporaryDirectory(prefix="etalon-dump-") as name:
        folder = Path(name)
        _configure(folder)
        command = [program, "-c", f"{folder}/suricata.yaml", "-r", str(capture.absolute()), "-l", str(folder)]
        command += ["-k", "none", "--runmode", "single", "-S", str(rules() or folder / "none.rules")]
        code, said = _run(command, folder)
        eve = folder / "eve.json"
        if code != 0 or not eve.exists():
            raise SuricataError(f"{capture}: Suricata could not read it: {_errors(said) or f'it ended with {code}'}")
        yield eve


def _run(command: Sequence[str], folder: Path) -> tuple[int, list[str]]:
    """Return how the program ended and what it said."""
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603 - our own words; the capture is a path
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder
    ) as program:
        assert program.stdout is not None
        for line in program.stdout:
            said.append(line.decode("utf-8", "replace").strip())
            if _GAVE_UP in said[-1]:
                program.kill()
    return program.returncode, said


def rules() -> Path | None:
    """Return the rules that dumps are read with, None where none are set; SuricataError when they are not there."""
    if not settings.ETALON_SURICATA_RULES:
        return None
    path = Path(settings.ETALON_SURICATA_RULES)
    if not path.is_file():
        raise SuricataError(f"ETALON_SURICATA_RULES={path}: no such file")
    return path.absolute()


def _program() -> str:
    found = shutil.which(settings.ETALON_SURICATA)
    if found is None:
        raise SuricataError(
            f"A capture is read by Suricata, and there is no program {settings.ETALON_SURICATA!r}. {HINT}."
        )
    return found


def _configure(folder: Path) -> None:
    classes = [f"config classification: {one.name},{one.description},{one.priority}\n" for one in CLASSTYPES.values()]
    (folder / "classification.config").write_text("".join(classes))
    for empty in ("reference.config", "threshold.config", "none.rules"):
        (folder / empty).touch()
    (folder / "suricata.yaml").write_text(_CONFIG.replace("{folder}", str(folder)))


def _errors(said: Sequence[str]) -> str:
    errors = [line[:300] for line in said if line.startswith("E:") and _GAVE_UP not in line]
    return " / ".join(errors[:_LOG_LINES])


def problem_with(rules_text: str) -> str:
    """Return what Suricata has against some rules; empty where it takes them. SuricataError without the program."""
    program = _program()
    with TemporaryDirectory(prefix="etalon-rules-") as name:
        folder = Path(name)
        _configure(folder)
        path = folder / "draft.rules"
        path.write_text(rules_text + "\n", encoding="utf-8")
        command = [program, "-T", "-c", f"{folder}/suricata.yaml", "-l", str(folder), "-S", str(path)]
        code, said = _run(command, folder)
        return "" if code == 0 else _errors(said) or f"it ended with {code}"
