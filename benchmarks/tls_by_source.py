"""`python -m benchmarks.tls_by_source`: what TLS detectors learn from the shared real traffic, source by source.

Two trainings: from what rules said in the EVE logs (the example detector of threats), and from the labels that the labs
gave their own captures. Both are printed as they are: the captures are few, and most hold one class only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.traffic_files import ROOT, shared_data
from detection.contract import TLS_1
from detection.fingerprint import shape_of
from detection.rules import RuleMapping, WeakLabel, is_protocol_oddity, weak_label
from detection.sessions import COLUMN_NAMES
from detection.sources.logs import open_log
from detection.sources.zeek_companions import Companions
from detection.training import TrainingPolicy, TrainingRows, group_of, train
from detection.training_report import TrainingReport

Row = dict[str, Any]
Labelled = tuple[str, str, int, Row]  # source, origin, label, session
LABS = ("stratosphere-008-zeek-mixed", "stratosphere-009-zeek-malicious", "stratosphere-010-zeek-mixed")
CALM = ("ndpi", "suricata-verify", "zeek")  # EVE files of programs at work; what a rule hit there is left out
BEACON = "slips"  # an EVE file of one command-and-control stream


def main() -> int:
    eve = {path.name.split(".")[0]: tls_rows(path) for path in sorted((shared_data() / "eve").glob("*.eve.json.gz"))}
    for title, rows in (("labels by rules", by_rules(eve)), ("labels by labs", by_labs(eve))):
        print(f"\n{title}")
        print(table(train(as_training(list(rows)), TLS_1, TrainingPolicy()).report))
    return 0


def tls_rows(path: Path, companions: Companions | None = None) -> list[Row]:
    return [row for row, _line in tls_sessions(path, companions)]


def tls_sessions(path: Path, companions: Companions | None = None) -> Iterator[tuple[Row, bytes]]:
    with path.open("rb") as stream:
        for chunk in open_log(stream, companions=companions):
            if chunk.protocol == "tls":
                for values, line in zip(zip(*chunk.columns.values(), strict=True), chunk.raw, strict=True):
                    yield dict.fromkeys(COLUMN_NAMES) | dict(zip(chunk.columns, values, strict=True)), line


def by_rules(eve: dict[str, list[Row]]) -> Iterator[Labelled]:
    """Yield what the rules of the example detector teach; files in which no threat rule spoke were not inspected."""
    text = (ROOT / "docs" / "formats" / "detector.tls-threats.yml").read_text()
    mapping = RuleMapping.from_dict(yaml.safe_load(text)["rules"])
    for source, rows in eve.items():
        inspected = any(not is_protocol_oddity(hit) for row in rows for hit in row["hits"])
        for row in rows:
            label = weak_label(row, mapping, inspected=inspected)
            if label is not WeakLabel.NONE:
                positive = label is WeakLabel.POSITIVE
                yield source, "rule" if positive else "background", int(positive), row


def by_labs(eve: dict[str, list[Row]]) -> Iterator[Labelled]:
    """Yield what the labs say: per flow in their Zeek logs, per capture in the EVE logs."""
    for source in LABS:
        folder = shared_data() / "zeek" / source
        companions = Companions()
        for path in sorted(folder.glob("conn.log*")):
            list(tls_sessions(path, companions))  # only fills the companions
        for path in sorted(folder.glob("ssl.log*")):
            for row, line in tls_sessions(path, companions):
                words = line.split(b"\t")[-2:]
                if b"Malicious" in words or b"Benign" in words:
                    yield source, "dump", int(b"Malicious" in words), row
    yield from ((BEACON, "dump", 1, row) for row in eve[BEACON])
    yield from ((source, "dump", 0, row) for source in CALM for row in eve[source] if not row["hits"])


def as_training(found: list[Labelled]) -> TrainingRows:
    rows = [row for _source, _origin, _label, row in found]
    return TrainingRows(
        rows={name: [row[name] for row in rows] for name in COLUMN_NAMES},
        label=np.array([label for _source, _origin, label, _row in found], np.int8),
        weight=np.ones(len(found)),
        source=[source for source, _origin, _label, _row in found],
        origin=[origin for _source, origin, _label, _row in found],
        group=[group_of(shape_of(row), row["src_ip"] or "") for row in rows],
        key=[f"{number:06d}" for number in range(len(found))],
    )


def table(report: TrainingReport) -> str:
    told = report.to_dict()
    lines = [f"{'source':34}{'positive':>9}{'negative':>9}{'found':>7}{'wrong':>7}{'recall':>8}{'precision':>10}"]
    lines += [_line("out of fold, all sources", told["out_of_fold"])]
    lines += [_line(f"never met: {one['source']}", one) for one in told["leave_one_source_out"]["sources"]]
    lines += [f"learns the source: {one['title']}" for one in told["source_features"][:4]]
    lines += [f"used most: {one['title']} {one['gain']:.2f}" for one in told["importance"][:6]]
    return "\n".join([*lines, *told["notes"]])


def _line(name: str, figures: dict[str, Any]) -> str:
    if figures.get("positives") is None:
        return f"{name:34}{figures.get('note', '')}"
    counts = "".join(
        f"{figures[key]:>{width}}"
        for key, width in (("positives", 9), ("negatives", 9), ("true_positives", 7), ("false_positives", 7))
    )
    shares = "".join(
        f"{'-' if figures[key] is None else format(figures[key], '.2f'):>{width}}"
        for key, width in (("recall", 8), ("precision", 10))
    )
    return f"{name:34}{counts}{shares}"


if __name__ == "__main__":
    sys.exit(main())
