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

from appliance.home import Home, NotReady
from appliance.records import model_row
from appliance.scorer import BundleScorer, WrongRecord
from detection import kit_seals, kits
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
    parser.add_argument("--bundle", type=Path, help="a bundle file (default: the one in force here)")
    parser.add_argument("--record", default="-", help="file with one EVE http or tls record; - reads standard input")
    parser.add_argument("--consent", choices=kits.CONSENTS, default="record", help="how much may leave (record)")
    parser.add_argument("--contact", default="", help="whom to answer")
    parser.add_argument("--note", default="")
    parser.add_argument("--out", type=Path, help="file to write; else standard output")


def run(options: argparse.Namespace) -> int:
    """Write the kit that the options ask for, signed where this appliance is enrolled; 2 where the input is wrong."""
    home = Home(options.home)
    try:
        text = sys.stdin.read() if options.record == "-" else Path(options.record).read_text(encoding="utf-8")
        record = json.loads(text)
        data = _bundle(home, options.bundle, record).read_bytes()
        scorer = BundleScorer(data, hashlib.sha256(data).hexdigest())
        kit = make(scorer, record, consent=options.consent, contact=options.contact, note=options.note)
        told = kits.document(kit, datetime.now(UTC))
        if config := home.read("config.json"):
            told = kit_seals.sealed(told, config["appliance"], home.key())
        else:
            sys.stderr.write("unsigned: this appliance is not enrolled\n")
        written = kits.to_bytes(told)
    except (NotReady, ValueError, AttributeError, OSError) as error:
        sys.stderr.write(f"no kit: {error}\n")
        return 2
    if options.out:
        options.out.write_bytes(written)
    else:
        sys.stdout.buffer.write(written)
    return 0


def _bundle(home: Home, named: Path | None, record: dict[str, Any]) -> Path:
    """Return the bundle file to ask: as named, else the one in force for the protocol. Raises NotReady."""
    if named is not None:
        return named
    protocol = str(record.get("event_type", ""))
    found = home.in_force(protocol).get(protocol)
    if found is None:
        raise NotReady(f"no {protocol or 'such'} bundle is in force here: name one with --bundle")
    return home.path_of(found.digest)
