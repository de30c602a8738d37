"""Rule files become an index of the rules a sensor ran."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from traffic.models import RuleSet, Sensor
from traffic.services import rule_sets

RULES = r"""
# a comment
alert http $HOME_NET any -> any any (msg:"ET WEB_SERVER one"; content:"sid:9; priority:4;"; \
    classtype:web-application-attack; sid:11; rev:2;)
drop tls any any -> any any (sid:12; priority:3; classtype:trojan-activity; msg:"with \; and \" inside";)
# alert http any any -> any any (msg:"switched off"; sid:13;)
alert tcp any any -> any any (msg:"on two lines"; \
    classtype:made-up; sid:14;)
alert tcp any any -> any any (msg:"no number";)
not a rule
"""


def test_active_rules_are_read() -> None:
    assert list(rule_sets.read_rules(RULES.encode())) == [
        {"sid": 11, "msg": "ET WEB_SERVER one", "classtype": "web-application-attack", "priority": 1},
        {"sid": 12, "msg": 'with ; and " inside', "classtype": "trojan-activity", "priority": 3},
        {"sid": 14, "msg": "on two lines", "classtype": "made-up", "priority": None},
    ]


@pytest.mark.django_db
def test_a_rule_file_is_kept_once_and_given_to_a_sensor(tmp_path: Path) -> None:
    path = tmp_path / "own.rules.gz"
    path.write_bytes(gzip.compress(RULES.encode()))
    out = io.StringIO()
    call_command("rule_set", str(path), "--name", "our own", "--sensor", "core-1", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["name"], told["rules"], told["sensor"]) == ("our own", 3, "core-1")
    kept = RuleSet.objects.get()
    assert (kept.digest, kept.declared) == (told["digest"], True)
    assert Sensor.objects.get().rule_set == kept
    assert rule_sets.add_rule_set(path) == kept
    assert [rule["sid"] for rule in rule_sets.rule_index(kept)] == [11, 12, 14]


@pytest.mark.django_db
def test_a_file_without_rules_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "empty.rules"
    path.write_text("# nothing\n")
    with pytest.raises(CommandError, match=r"empty\.rules: no rule found"):
        call_command("rule_set", str(path))
    with pytest.raises(CommandError, match="No such file"):
        call_command("rule_set", str(tmp_path / "nowhere.rules"))


def test_the_shared_rules_are_read_as_their_index_says(shared_data: Path) -> None:
    data = (shared_data / "rules" / "et-open-merged.rules.gz").read_bytes()
    found = {rule["sid"]: rule for rule in rule_sets.read_rules(data)}
    with gzip.open(shared_data / "rules" / "et-open-index.csv.gz", "rt") as lines:
        index = {int(row["sid"]): row for row in csv.DictReader(lines)}
    assert len(set(index) - set(found)) <= 2  # two of the index are not in the file
    for sid, rule in found.items():
        told = index[sid]
        assert rule["msg"] == told["msg"].replace("\\;", ";")
        assert (rule["classtype"], str(rule["priority"])) == (told["classtype"], told["priority"])
