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
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from appliance import enrol, network, telemetry, unit, update
from appliance.home import Home, NotReady
from appliance.run import Policy, Runner
from appliance.scorer import WrongBundle
from detection import kits
from detection.envelopes import seal

TRIES = 6  # of one message, each wait twice as long
FIRST_WAIT = 1.0  # seconds
EVERY = {"update": 300, "telemetry": 3600}  # seconds between two looks, in units


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
    elif not options.server:
        raise ValueError("name the vendor: --server https://HOST, or write a file for a stick: --request FILE")
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
            found: dict[str, Any] = {"updated": [asdict(one) for one in update.update(home, options.source)]}
        except update.UpdateRefused as refusal:
            if not options.every:
                raise
            found = {"updated": {"refused": refusal.reason, "message": str(refusal)}}
        if not options.no_report and not options.source:
            found |= _reported(home)
        found |= {"stale_hours": update.stale_hours(home)}
        if not options.every:
            return found
        _go_on(found, options.every)


def _reported(home: Home) -> dict[str, str]:
    """Tell the vendor what is in force; what the update did stands, also where nobody listens."""
    try:
        send(home, "report", report_body(home), "appliances/report/", tries=1)
    except network.SendFailed as failure:
        return {"not_reported": str(failure)}
    return {}


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
    vendor = home.vendor("reports go by network only")
    post_with_patience(f"{vendor}/api/v1/{address}", data, config["token"], tries)


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
    from redis import RedisError  # takes long to load, and no other verb needs it

    policy = Policy(options.silent_share, options.only_fired, not options.no_rules, options.follow)
    try:
        done = Runner(Home(options.home), options.source, options.sink, policy).run(lambda: bool(stopped))
    except RedisError as error:  # a service is started again by systemd, and loses nothing
        raise ValueError(f"Redis: {error}") from error
    return asdict(done)


# telemetry


def _telemetry_words(parser: argparse.ArgumentParser) -> None:
    parser.description = "Hand over the counts of hours that are over: to the vendor, or to a file for a stick."
    parser.add_argument("--out", type=Path, help="write signed messages to this file, one a line")
    parser.add_argument("--show", action="store_true", help="print what would leave, and send nothing")
    parser.add_argument("--now", action="store_true", help="also hours that are not over")
    parser.add_argument("--every", type=float, default=0.0, help="go on, and look again after so many seconds")


def _telemetry(options: argparse.Namespace) -> Any:
    home = Home(options.home)
    while True:
        try:
            found = _handed_over(home, options)
        except network.SendFailed as failure:
            if not options.every:
                raise
            found = {"unreachable": str(failure)}
        if not options.every or options.show:
            return found
        _go_on(found, options.every)


def _handed_over(home: Home, options: argparse.Namespace) -> Any:
    now = datetime.now(UTC)
    paths = sorted(home.telemetry.glob("*.json")) if options.now else list(telemetry.due(home, now))
    if options.show:
        return [json.loads(path.read_bytes()) for path in paths]
    token = home.config()["token"]
    vendor = "" if options.out else home.vendor("write a file for a stick with --out")
    for path in paths:
        message = telemetry.envelope(home, path, now)
        if options.out:
            with options.out.open("ab") as file:
                file.write(message + b"\n")
        else:
            post_with_patience(f"{vendor}/api/v1/telemetry/", message, token)
        telemetry.sent(home, path, now)
    return {"hours": len(paths)}


def _go_on(found: Any, seconds: float) -> None:
    """Say what was found, one line a look, and wait."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    time.sleep(seconds)


# name


def _name_words(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print what stands for an address or a host in the kits of this appliance."
    parser.add_argument("values", nargs="+", metavar="NAME")


def _name(options: argparse.Namespace) -> Any:
    home = Home(options.home)
    home.config()  # the key belongs to an enrolled appliance
    return {value: kits.name_of(_kind_of(value), value, home.name_key()) for value in options.values}


def _kind_of(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        return "host"
    return "address"


# unit


def _unit_words(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print a systemd unit that keeps this appliance scoring, up to date, or its counts handed over."
    )
    parser.add_argument("--runs", choices=("score", *EVERY), default="score", help="what it does (score)")
    parser.add_argument("--in", dest="source", help="as of `score`")
    parser.add_argument("--out", dest="sink", help="as of `score`")
    parser.add_argument("--user", default="etalon", help="the account it runs as, whose --home is (etalon)")


def _unit(options: argparse.Namespace) -> str:
    if options.runs in EVERY:
        return unit.unit_of(options.runs, EVERY[options.runs], options.home, options.user)
    if not options.source or not options.sink:
        raise ValueError("say what it reads and where verdicts go: --in and --out, as of `score`")
    return unit.unit(options.home, options.source, options.sink, options.user)


VERBS = {
    "enroll": Verb(_enroll_words, told(_enroll)),
    "update": Verb(_update_words, told(_update)),
    "rollback": Verb(_rollback_words, told(_rollback)),
    "status": Verb(_status_words, told(_status)),
    "score": Verb(_score_words, told(_score)),
    "telemetry": Verb(_telemetry_words, told(_telemetry)),
    "name": Verb(_name_words, told(_name)),
    "unit": Verb(_unit_words, told(_unit)),
}
