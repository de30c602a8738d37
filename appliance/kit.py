"""Making a kit: one flagged session with what the bundle in force says of it, for support to file."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.records import model_row
from appliance.scorer import BundleScorer, WrongRecord
from detection import kits
from detection.kits import Consent, Kit, Said


def make(
    scorer: BundleScorer, record: dict[str, Any], *, consent: Consent = "record", contact: str = "", note: str = ""
) -> Kit:
    """Return the kit of one parsed EVE record, as much of it as the customer agrees to hand out."""
    if record.get("event_type", scorer.protocol) != scorer.protocol:
        raise WrongRecord(f"the bundle reads {scorer.protocol} records, this one is {record['event_type']!r}")
    row = model_row(record)
    said = scorer.score_row(row, run_silent=True)
    return Kit(
        bundle=scorer.digest,
        contract=scorer.contract.id,
        consent=consent,
        record=kits.reduced(record, consent),
        features=scorer.features(row),
        said=tuple(_said(scorer.metadata["models"], said.scores)),
        contact=contact,
        note=note,
    )


def _said(models: list[dict[str, Any]], scores: tuple[float, ...]) -> list[Said]:
    return [
        Said(m["registry_name"], int(m["version"]), score, float(m["threshold"]), bool(m["is_silent"]))
        for m, score in zip(models, scores, strict=True)
        if not math.isnan(score)
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write a kit about one session: what support needs to reproduce a verdict."
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle file in force")
    parser.add_argument("--record", default="-", help="file with one EVE http or tls record; - reads standard input")
    parser.add_argument("--consent", choices=kits.CONSENTS, default="record", help="how much may leave (record)")
    parser.add_argument("--contact", default="", help="whom to answer")
    parser.add_argument("--note", default="")
    parser.add_argument("--out", type=Path, help="file to write; else standard output")


def run(options: argparse.Namespace) -> int:
    """Write the kit that the options ask for; 2 where the input is wrong."""
    data = options.bundle.read_bytes()
    text = sys.stdin.read() if options.record == "-" else Path(options.record).read_text(encoding="utf-8")
    try:
        record = json.loads(text)
        scorer = BundleScorer(data, hashlib.sha256(data).hexdigest())
        kit = make(scorer, record, consent=options.consent, contact=options.contact, note=options.note)
    except (ValueError, AttributeError) as error:
        sys.stderr.write(f"no kit: {error}\n")
        return 2
    written = kits.to_bytes(kits.document(kit, datetime.now(UTC)))
    if options.out:
        options.out.write_bytes(written)
    else:
        sys.stdout.buffer.write(written)
    return 0
