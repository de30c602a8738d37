"""Which files are read together: a Zeek log of sessions with what conn, x509 and files of its set tell about them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from detection.sources.logs import zeek_kind
from detection.sources.reader import ReaderPolicy
from detection.sources.zeek import COMPANION_KINDS, name_in_set

_ENDINGS = re.compile(r"(?:\.(?:log|labeled|json|jsonl|gz)|[-_.]?\d[-_.:\d]*\d)+$")
_POLICY = ReaderPolicy()


@dataclass(slots=True)
class LogSet:
    """Files that are read together, companions first. A log of another kind is a set of its own."""

    companions: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    source: str | None = None  # of its sessions, where a file's own name says nothing

    @property
    def files(self) -> list[Path]:
        return [*self.companions, *self.others]


def sets_of(files: Iterable[Path]) -> list[LogSet]:
    """Return files as sets, in the order in which the first of each comes. Looks at the beginning of every file."""
    sets: dict[object, LogSet] = {}
    for path in files:
        kind = _kind_of(path)
        place = None if kind is None else name_in_set(path.name, kind)
        if kind is None or place is None:
            sets[path] = LogSet(others=[path])
            continue
        log_set = sets.setdefault((path.parent, place), LogSet(source=_source_of(path, place)))
        (log_set.companions if kind in COMPANION_KINDS else log_set.others).append(path)
    return list(sets.values())


def _kind_of(path: Path) -> str | None:
    """Return which Zeek log a file is; None when it is none. A pipe is not looked at: it can be read only once."""
    if not path.is_file():
        return None
    try:
        with path.open("rb", buffering=0) as stream:
            return zeek_kind(_POLICY.blocks_of(stream).head())
    except OSError:
        return None


def _source_of(path: Path, place: tuple[str, str]) -> str:
    """Return what leave-one-source-out calls the sessions of a set: its folder, and its own name if it has one.

    Times in names do not count: every hour of a sensor is one source."""
    before, behind = place
    own = f"{before}{_ENDINGS.sub('', behind)}".strip("-_. ")
    folder = path.absolute().parent.name
    return " ".join(part for part in (folder, own) if part)[:100] or "zeek"
