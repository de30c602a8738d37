"""`build_config.yml`: which versions of which detectors a bundle holds, at which thresholds, loud or silent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

AGGREGATIONS = ("max",)
KEYS = ("registry_name", "version", "threshold", "is_silent", "aggregation")
REQUIRED = KEYS[:4]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class ConfigError(ValueError):
    """The configuration is wrong in one line; the message begins with it."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """One version in the bundle."""

    registry_name: str
    version: int
    threshold: float
    is_silent: bool
    aggregation: str = "max"
    line: int = 0


def parse_config(text: str) -> tuple[ConfigEntry, ...]:
    """Return the entries of a `build_config.yml`, in order."""
    entries = tuple(_entry(node) for node in _model_nodes(_compose(text)))
    _check_doubles(entries)
    return entries


def _compose(text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(mark.line + 1 if mark else 1, f"no YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(line, f"no YAML: {error.reason}") from error
    except RecursionError as error:
        raise ConfigError(1, "no YAML that ends: nested too deeply") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(_line(root) if root else 1, "expected `models:` with a list of entries")
    return root


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _model_nodes(root: yaml.MappingNode) -> list[yaml.Node]:
    items = _mapping(root, ("models",))
    if "models" not in items:
        raise ConfigError(_line(root), "expected `models:` with a list of entries")
    models = items["models"]
    if not isinstance(models, yaml.SequenceNode) or not models.value:
        raise ConfigError(_line(models), "`models` is a list with at least one entry")
    return list(models.value)


def _mapping(node: yaml.Node, allowed: Sequence[str]) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(_line(node), f"expected an entry with the keys {', '.join(allowed)}")
    items: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
        if name not in allowed:
            raise ConfigError(_line(key), f"unknown key {name!r}; known are {', '.join(allowed)}")
        if name in items:
            raise ConfigError(_line(key), f"the key {name!r} stands here twice")
        items[name] = value
    return items


def _entry(node: yaml.Node) -> ConfigEntry:
    items = _mapping(node, KEYS)
    missing = [key for key in REQUIRED if key not in items]
    if missing:
        raise ConfigError(_line(node), f"{missing[0]} is missing")
    return ConfigEntry(
        registry_name=_registry_name(items["registry_name"]),
        version=_version(items["version"]),
        threshold=_threshold(items["threshold"]),
        is_silent=_is_silent(items["is_silent"]),
        aggregation=_aggregation(items["aggregation"]) if "aggregation" in items else "max",
        line=_line(node),
    )


def _scalar(node: yaml.Node, what: str) -> tuple[str, str]:
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(_line(node), f"{what}, not a list or mapping")
    return str(node.value), str(node.tag).rpartition(":")[2]


def _registry_name(node: yaml.Node) -> str:
    value, tag = _scalar(node, "registry_name is a name")
    if tag != "str" or not _NAME.fullmatch(value):
        raise ConfigError(_line(node), f"registry_name is a name of letters, digits, dots and dashes, not {value!r}")
    return value


def _version(node: yaml.Node) -> int:
    value, tag = _scalar(node, "version is a number from 1")
    if tag != "int" or not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise ConfigError(_line(node), f"version is a whole number from 1, not {value!r}")
    return int(value)


def _threshold(node: yaml.Node) -> float:
    value, tag = _scalar(node, "threshold is a number above 0 and below 1")
    try:
        number = float(value) if tag in ("int", "float") else float("nan")
    except ValueError:
        number = float("nan")
    if not 0.0 < number < 1.0:
        raise ConfigError(_line(node), f"threshold is a number above 0 and below 1, not {value!r}")
    return number


def _is_silent(node: yaml.Node) -> bool:
    value, tag = _scalar(node, 'is_silent is true, false, "true" or "false"')
    if tag not in ("bool", "str") or value not in ("true", "false"):
        raise ConfigError(_line(node), f'is_silent is true, false, "true" or "false", not {value!r}')
    return value == "true"


def _aggregation(node: yaml.Node) -> str:
    value, _ = _scalar(node, f"aggregation is one of {', '.join(AGGREGATIONS)}")
    if value not in AGGREGATIONS:
        raise ConfigError(_line(node), f"aggregation is one of {', '.join(AGGREGATIONS)}, not {value!r}")
    return value


def _check_doubles(entries: Sequence[ConfigEntry]) -> None:
    seen: dict[tuple[str, int], int] = {}
    loud: dict[str, int] = {}
    for entry in entries:
        key = (entry.registry_name, entry.version)
        if key in seen:
            first = seen[key]
            raise ConfigError(entry.line, f"{entry.registry_name} version {entry.version} stands in line {first} too")
        seen[key] = entry.line
        if entry.is_silent:
            continue
        if entry.registry_name in loud:
            first = loud[entry.registry_name]
            raise ConfigError(
                entry.line, f"{entry.registry_name} has a second version that is not silent (line {first})"
            )
        loud[entry.registry_name] = entry.line
