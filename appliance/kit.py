"""Making a kit: one flagged session with what the bundle in force says of it and why, for support to file."""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance import flagged
from appliance.home import Home, NotReady
from appliance.records import model_row
from appliance.scorer import BundleScorer, WrongRecord
from detection import contributions, kit_seals, kits
from detection.kits import Consent, Kit, Said
from detection.sources.flow_ends import has_end


def make(
    bundle: bytes,
    record: dict[str, Any],
    *,
    consent: Consent = "record",
    names: bytes | None = None,
    contact: str = "",
    note: str = "",
) -> Kit:
    """Return the kit of one parsed EVE record, as much of it as the customer agrees to hand out.

    A TLS record carries the end of its flow under `flow`. `names`: the key that hides names; without it none is told.
    """
    scorer = BundleScorer(bundle, hashlib.sha256(bundle).hexdigest())
    if record.get("event_type", scorer.protocol) != scorer.protocol:
        raise WrongRecord(f"the bundle reads {scorer.protocol} records, this one is {record['event_type']!r}")
    row = model_row(record, record if has_end(record) else None)
    features = scorer.features(row)
    return Kit(
        bundle=scorer.digest,
        contract=scorer.contract.id,
        consent=consent,
        record=kits.reduced(record, consent),
        features=features,
        said=tuple(_said(scorer, scorer.score_row(row, run_silent=True).scores, bundle, features)),
        names=kits.hidden_names(record, consent, names) if names else {},
        contact=contact,
        note=note,
    )


def _said(
    scorer: BundleScorer, scores: tuple[float, ...], bundle: bytes, features: tuple[float, ...]
) -> Iterator[Said]:
    why = contributions.of_bundle(bundle, features) if features else {}
    for number, (model, score) in enumerate(zip(scorer.metadata["models"], scores, strict=True)):
        if math.isnan(score):
            continue
        found = why.get(number)
        yield Said(
            model["registry_name"],
            int(model["version"]),
            score,
            float(model["threshold"]),
            bool(model["is_silent"]),
            found.base if found else None,
            found.features if found else (),
        )


# The verb


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write a kit about one session: what support needs to reproduce a verdict."
    parser.add_argument("--bundle", type=Path, help="a bundle file (default: the one in force here)")
    parser.add_argument(
        "--record",
        default="-",
        help="file with the EVE http or tls record, for tls also the flow record: these lines alone, or a whole log"
        " (.gz too) with --flow-id; - reads standard input",
    )
    parser.add_argument("--flow-id", type=int, help="of the session, as its verdict record tells")
    parser.add_argument("--tx-id", type=int, help="of the session, where its flow has several")
    parser.add_argument("--consent", choices=kits.CONSENTS, default="record", help="how much may leave (record)")
    parser.add_argument("--contact", default="", help="whom to answer")
    parser.add_argument("--note", default="")
    parser.add_argument("--out", type=Path, help="file to write; else standard output")


def run(options: argparse.Namespace) -> int:
    """Write the kit that the options ask for, signed where this appliance is enrolled; 2 where the input is wrong."""
    home = Home(options.home)
    try:
        record = flagged.read(options.record, options.flow_id, options.tx_id)
        bundle = _bundle(home, options.bundle, record).read_bytes()
        config = home.read("config.json")
        names = home.name_key() if config else None
        kit = make(bundle, record, consent=options.consent, names=names, contact=options.contact, note=options.note)
        told = kits.document(kit, datetime.now(UTC))
        if config:
            told = kit_seals.sealed(told, config["appliance"], home.key())
        else:
            sys.stderr.write("unsigned: this appliance is not enrolled\n")
        if "tls" in record and not has_end(record):
            sys.stderr.write("no flow record: sizes and duration are missing; name a file that holds it too\n")
        written = kits.to_bytes(told)
    except (NotReady, ValueError, AttributeError, EOFError, OSError) as error:
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
