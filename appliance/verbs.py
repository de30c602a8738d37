"""What an operator at the customer does by hand: each verb with its words and what it runs."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance import enrol, network, telemetry, unit, update
from appliance.home import Home, NotReady
from appliance.run import Policy, Runner
from appliance.scorer import WrongBundle
from detection.envelopes import seal

TRIES = 6  # of one message, each wait twice as long
FIRST_WAIT = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of `python -m appliance`."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def told(work: Callable[[argparse.Namespace], Any]) -> Callable[[argparse.Namespace], int]:
    """Print what a verb found as JSON; one line on standard error and status 2 where it could not."""

    def run(options: argparse.Namespace) -> int:
        try:
            found = work(options)
        except update.UpdateRefused as refusal:
            sys.stderr.write(f"refused ({refusal.reason}): {refusal}\n")
            return 2
        except (NotReady, enrol.EnrolmentFailed, network.SendFailed, WrongBundle, OSError, ValueError) as error:
            sys.stderr.write(f"{error}\n")
            return 2
        sys.stdout.write(found if isinstance(found, str) else json.dumps(found, indent=1) + "\n")
        return 0

    return run


# enroll


def _enroll_words(parser: argparse.ArgumentParser) -> None:
    parser.description = "Become a known appliance: by network, or by two files on a stick."
    parser.add_argument("--server", default="", help="address of the vendor, https://HOST")
    parser.add_argument("--code", help="the one-time code")
    parser.add_argument("--request", type=Path, help="stick, first step: write what the vendor needs")
    parser.add_argument("--answer", type=Path, help="stick, second step: take what the vendor wrote")
    parser.add_argument("--product-version", default="", help="of the product around this appliance")


def _enroll(options: argparse.Namespace) -> Any:
    home = Home(options.home)
    if options.answer:
        answer = json.loads(options.answer.read_bytes())
        config = enrol.accept(home, answer, options.server, options.product_version)
    elif not options.code:
        raise ValueError("name the code: --code CODE")
    elif options.request:
        options.request.write_text(json.dumps(enrol.request(home, options.code)), encoding="utf-8")
        return {"written": str(options.request)}
    else:
        config = enrol.enrol(home, options.server, options.code, options.product_version)
    return {name: config[name] for name in ("appliance", "channel", "product_version")}


# update, rollback, status


def _update_words(parser: argparse.ArgumentParser) -> None:
    parser.description = "Take the newest bundles of the feed; on any doubt keep the ones in force."
    parser.add_argument("--from", dest="source", help="a folder of export_feed, or an address (default: the vendor's)")
    parser.add_argument("--every", type=float, default=0.0, help="go on, and look again after so many seconds")
    parser.add_argument("--no-report", action="store_true", help="do not tell the vendor what is in force")


def _update(options: argparse.Namespace) -> Any:
    home = Home(options.home)
    while True:
        try:
            found: Any = [asdict(one) for one in update.update(home, options.source)]
            if not options.no_report and not options.source:
                send(home, "report", report_body(home), "appliances/report/", tries=1)
        except (update.UpdateRefused, network.SendFailed) as refusal:
            if not options.every:
                raise
            found = {"refused": getattr(refusal, "reason", "unreachable"), "message": str(refusal)}
        if not options.every:
            return {"updated": found, "stale_hours": update.stale_hours(home)}
        sys.stdout.write(json.dumps({"updated": found, "stale_hours": update.stale_hours(home)}) + "\n")
        sys.stdout.flush()
        time.sleep(options.every)


def _rollback_words(parser: argparse.ArgumentParser) -> None:
    parser.description = "Go back to the bundle before the one in force."
    parser.add_argument("protocol", choices=update.PROTOCOLS)


def _rollback(options: argparse.Namespace) -> Any:
    return asdict(update.rollback(Home(options.home), options.protocol))


def _status_words(parser: argparse.ArgumentParser) -> None:
    parser.description = "What is in force here, and how old the feed's word is."


def _status(options: argparse.Namespace) -> Any:
    home = Home(options.home)
    return {"appliance": home.config()["appliance"], **report_body(home)}


def report_body(home: Home) -> dict[str, Any]:
    """Return what a report says."""
    return {
        "bundles": {protocol: asdict(one) for protocol, one in home.in_force().items()},
        "product_version": home.config().get("product_version", ""),
        "stale_hours": update.stale_hours(home),
    }


def send(home: Home, kind: str, body: dict[str, Any], address: str, tries: int = TRIES) -> None:
    """Send a signed message; again and again while nobody answers. Raises SendFailed."""
    config = home.config()
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    data = seal(kind, config["appliance"], home.next_counter(), at, body, home.key())
    post_with_patience(f"{config['server'].rstrip('/')}/api/v1/{address}", data, config["token"], tries)


def post_with_patience(url: str, data: bytes, token: str, tries: int = TRIES, wait: float = FIRST_WAIT) -> None:
    for left in range(tries - 1, -1, -1):
        try:
            network.post(url, data, token)
            return
        except network.SendFailed as failure:
            if not left or (400 <= failure.status < 500 and failure.status != 429):
                raise
        time.sleep(wait)
        wait *= 2


# score


def _score_words(parser: argparse.ArgumentParser) -> None:
    parser.description = "Score EVE lines with the bundles in force; new bundles are taken up while it runs."
    parser.add_argument(
        "--in", dest="source", required=True, help="FILE, or redis://HOST:PORT/0?list=KEY or ?stream=KEY"
    )
    parser.add_argument("--out", dest="sink", required=True, help="FILE, or the same form of a Redis address")
    parser.add_argument("--follow", action="store_true", help="the file grows: wait for more")
    parser.add_argument("--silent-share", type=float, default=1.0, help="share of sessions for silent models (1)")
    parser.add_argument("--only-fired", action="store_true", help="no records of sessions without a verdict")
    parser.add_argument("--no-rules", action="store_true", help="the sensor runs no rules: count as not inspected")


def _score(options: argparse.Namespace) -> Any:
    stopped: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _frame: stopped.append(number))
    policy = Policy(options.silent_share, options.only_fired, not options.no_rules, options.follow)
    done = Runner(Home(options.home), options.source, options.sink, policy).run(lambda: bool(stopped))
    return asdict(done)


# telemetry


def _telemetry_words(parser: argparse.ArgumentParser) -> None:
    parser.description = "Hand over the counts of hours that are over: to the vendor, or to a file for a stick."
    parser.add_argument("--out", type=Path, help="write signed messages to this file, one a line")
    parser.add_argument("--show", action="store_true", help="print what would leave, and send nothing")
    parser.add_argument("--now", action="store_true", help="also hours that are not over")


def _telemetry(options: argparse.Namespace) -> Any:
    home, now = Home(options.home), datetime.now(UTC)
    paths = sorted(home.telemetry.glob("*.json")) if options.now else list(telemetry.due(home, now))
    if options.show:
        return [json.loads(path.read_bytes()) for path in paths]
    config = home.config()
    for path in paths:
        message = telemetry.envelope(home, path, now)
        if options.out:
            with options.out.open("ab") as file:
                file.write(message + b"\n")
        else:
            post_with_patience(f"{config['server'].rstrip('/')}/api/v1/telemetry/", message, config["token"])
        telemetry.sent(home, path, now)
    return {"hours": len(paths)}


# unit


def _unit_words(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print a systemd unit that keeps this appliance scoring."
    parser.add_argument("--in", dest="source", required=True)
    parser.add_argument("--out", dest="sink", required=True)
    parser.add_argument("--user", default="etalon")


def _unit(options: argparse.Namespace) -> str:
    return unit.unit(options.home, options.source, options.sink, options.user)


VERBS = {
    "enroll": Verb(_enroll_words, told(_enroll)),
    "update": Verb(_update_words, told(_update)),
    "rollback": Verb(_rollback_words, told(_rollback)),
    "status": Verb(_status_words, told(_status)),
    "score": Verb(_score_words, told(_score)),
    "telemetry": Verb(_telemetry_words, told(_telemetry)),
    "unit": Verb(_unit_words, told(_unit)),
}
