"""The standard classification table against rules of the field."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path

from detection.classtypes import CLASSTYPES


def test_names_and_descriptions_are_unique() -> None:
    assert len({entry.description.casefold() for entry in CLASSTYPES.values()}) == len(CLASSTYPES) == 43
    assert {entry.priority for entry in CLASSTYPES.values()} == {1, 2, 3, 4}


def test_every_rule_of_the_open_set_resolves_to_the_category_that_eve_carries(shared_data: Path) -> None:
    with gzip.open(shared_data / "rules" / "et-open-index.csv.gz", "rt", encoding="utf-8") as stream:
        rules = Counter((rule["classtype"], rule["category"]) for rule in csv.DictReader(stream))
    assert sum(rules.values()) == 26_694
    assert {pair for pair in rules if CLASSTYPES[pair[0]].description != pair[1]} == set()


def test_priorities_are_those_of_the_open_set(shared_data: Path) -> None:
    with gzip.open(shared_data / "rules" / "et-open-index.csv.gz", "rt", encoding="utf-8") as stream:
        usual: dict[str, Counter[int]] = {}
        for rule in csv.DictReader(stream):
            usual.setdefault(rule["classtype"], Counter())[int(rule["priority"])] += 1
    assert {name: found.most_common(1)[0][0] for name, found in usual.items()} == {
        name: CLASSTYPES[name].priority for name in usual
    }
