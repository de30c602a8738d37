"""Rule sets: which rules a sensor ran. Their index says whether silence of the rules means anything."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from django.db import transaction

from detection.classtypes import CLASSTYPES
from detection.sources.lines import GZIP_MAGIC
from detection.sources.suricata_reader import is_protocol_notice
from traffic import storage
from traffic.models import RuleSet, Sensor

# a rule: action, header, then options in brackets; a rule that is commented out does not run
_RULE = re.compile(r"^(?:alert|drop|reject|rejectsrc|rejectdst|rejectboth|pass)\s.*?\((.*)\)\s*$")
_OPTION = re.compile(r'\b(msg|sid|classtype|priority)\s*:\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))\s*;')
# where quoted patterns stand, an option's name may be part of an attack
_OTHER_TEXT = re.compile(r'\b(?!msg\b)\w[\w.]*\s*:\s*!?\s*"(?:[^"\\]|\\.)*"[^;]*;')


class NoRulesError(ValueError):
    """A file holds no rule."""


def add_rule_set(path: str | Path, name: str = "") -> RuleSet:
    """Keep a rule file (plain or gzip) as a declared rule set; the same file again gives the same row."""
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    known = RuleSet.objects.filter(digest=digest).first()
    if known is not None:
        return known
    index = list(read_rules(data))
    if not index:
        raise NoRulesError(f'{path}: no rule found; expected lines such as: alert http ... (msg:"..."; sid:1;)')
    return _keep(digest, index, name=name or Path(path).name[:255], declared=True)


def inferred_rule_set(rules_seen: Mapping[int, Mapping[str, Any]]) -> RuleSet:
    """Return the rule set that hits let us infer where nobody declared one; the threat rules seen are all we know."""
    seen = sorted(sid for sid, rule in rules_seen.items() if not is_protocol_notice(rule["msg"]))
    digest = hashlib.sha256(("inferred|" + ",".join(map(str, seen))).encode()).hexdigest()
    index = [dict(rules_seen[sid]) for sid in seen]
    return RuleSet.objects.filter(digest=digest).first() or _keep(
        digest, index, name=f"inferred from {len(seen)} rules seen", declared=False
    )


def _keep(digest: str, index: list[dict[str, Any]], *, name: str, declared: bool) -> RuleSet:
    path = f"rules/{digest}.jsonl.gz"
    lines = b"".join(orjson.dumps(rule, option=orjson.OPT_APPEND_NEWLINE) for rule in index)
    storage.put_bytes(path, gzip.compress(lines, mtime=0))
    rule_set, _ = RuleSet.objects.get_or_create(
        digest=digest, defaults={"name": name, "rules": len(index), "declared": declared, "index_path": path}
    )
    return rule_set


def rule_index(rule_set: RuleSet) -> list[dict[str, Any]]:
    """Return sid, msg, classtype and priority of each rule of a set."""
    return list(_rule_index(rule_set.index_path)) if rule_set.index_path else []


@lru_cache(maxsize=8)  # the path holds the digest: its content never changes
def _rule_index(path: str) -> tuple[dict[str, Any], ...]:
    return tuple(map(orjson.loads, gzip.decompress(storage.get_bytes(path)).splitlines()))


def sensor_named(name: str, rule_set: RuleSet | None = None) -> Sensor:
    """Return the sensor of that name, made when it is new; with a rule set, that is what it runs from now on."""
    with transaction.atomic():
        sensor, _ = Sensor.objects.get_or_create(name=name)
        if rule_set is not None and sensor.rule_set_id != rule_set.pk:
            sensor.rule_set = rule_set
            sensor.save(update_fields=["rule_set"])
    return sensor


def read_rules(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield sid, msg, classtype and priority of each active rule of a Suricata rule file."""
    if data.startswith(GZIP_MAGIC):
        data = gzip.decompress(data)
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    for line in _joined(text.splitlines()):
        rule = _read_rule(line.strip())
        if rule is not None:
            yield rule


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Join lines that end in a backslash with the next one."""
    begun = ""
    for line in lines:
        if line.rstrip().endswith("\\"):
            begun += line.rstrip()[:-1]
            continue
        yield begun + line
        begun = ""
    if begun:
        yield begun


def _read_rule(line: str) -> dict[str, Any] | None:
    found = _RULE.match(line)
    if not found:
        return None
    told: dict[str, str] = {}
    for name, quoted, plain in _OPTION.findall(_OTHER_TEXT.sub("", found[1])):
        told.setdefault(name, quoted.replace("\\;", ";").replace('\\"', '"') if quoted else plain.strip())
    if not told.get("sid", "").isdecimal():
        return None
    classtype = told.get("classtype", "")
    known = CLASSTYPES.get(classtype)
    priority = told.get("priority", "")
    return {
        "sid": int(told["sid"]),
        "msg": told.get("msg", ""),
        "classtype": classtype,
        "priority": int(priority) if priority.isdecimal() else known.priority if known else None,
    }
