"""`manage.py demo`: a house that lives by itself, on this machine and on synthetic traffic. State lies in var/demo."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import orjson
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.demo import broker, people, state


class Command(BaseCommand):
    help = "Serve a house on loopback in which the loop turns by itself; or turn the loop once, without servers."
    requires_system_checks = []  # they load every page, and the server does that anyway

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--state", type=Path, metavar="FOLDER", help="where it lives; without it, in var/")
        parser.add_argument("--no-colleagues", action="store_true", help="no simulated experts answer beside you")
        parser.add_argument("--once", action="store_true", help="turn the whole loop once, in a folder of its own")
        parser.add_argument("--json", action="store_true", help="with --once: print one JSON object, and nothing else")
        parser.add_argument("--reset", action="store_true", help="delete what earlier demos left, and nothing else")
        parser.add_argument("--prepare-only", action="store_true", help="bring database and accounts up to date")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEVELOPMENT:
            raise CommandError("The demo needs ETALON_DEVELOPMENT=1: it prints passwords and speaks plain HTTP.")
        folder = options["state"].absolute() if options["state"] else None
        try:
            if options["prepare_only"]:
                self._prepare()
            elif options["reset"]:
                self._reset([folder] if folder else [state.FOLDER, state.ONCE])
            elif options["once"]:
                self._once(folder, as_json=options["json"])
            else:
                _serve(folder or state.FOLDER, options["port"], colleagues=not options["no_colleagues"])
        except state.InUse as refusal:
            raise CommandError(str(refusal)) from None

    def _prepare(self) -> None:
        call_command("migrate", verbosity=0)
        broker.prepare()
        made: list[tuple[str, str]] = []
        people.make_people(show=lambda name, password: made.append((name, password)))
        if not made:
            self.stdout.write("Accounts are those of the first start, which showed their passwords.")
            return
        self.stdout.write("Accounts and their passwords, shown this once:\n")
        for name, password in made:
            self.stdout.write(f"  {name:<15}{password}")

    def _reset(self, folders: list[Path]) -> None:
        removed = [told for folder in folders for told in state.reset(folder)]
        self.stdout.write("\n".join(["Removed:", *removed]) if removed else "There is nothing to remove.")

    def _once(self, folder: Path | None, *, as_json: bool) -> None:
        if (folder or state.ONCE) != settings.VAR:
            _again_in(folder, as_json=as_json)
        from config.demo.turn import turn

        print_json = _only_json() if as_json else None
        call_command("migrate", verbosity=0)
        broker.prepare()
        result = turn(self.stdout.write, people=people.make_people())
        if print_json:
            print_json(result)
            return
        for name, value in result.items():
            self.stdout.write(f"{name}: {value}")


def _serve(folder: Path, port: int, *, colleagues: bool) -> NoReturn:
    """Become the supervisor, which has no use for Django."""
    options = ["--port", str(port), "--state", str(folder), *([] if colleagues else ["--no-colleagues"])]
    os.chdir(state.ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "config.demo.processes", *options])  # noqa: S606 - ourselves


def _again_in(folder: Path | None, *, as_json: bool) -> NoReturn:
    """Start this command again where the settings point into the folder; without a name it is one that begins empty."""
    target = folder or state.ONCE
    state.hold_for_good(target)
    if folder is None:
        state.remove_contents(target)
    options = ["--once", "--state", str(target), *(["--json"] if as_json else [])]
    command = [sys.executable, str(state.ROOT / "manage.py"), "demo", *options]
    os.execve(sys.executable, command, state.environment(target))  # noqa: S606 - ourselves


def _only_json() -> Callable[[dict[str, Any]], None]:
    """Lead to the standard error what anybody prints, libraries too; return what prints the answer."""
    sys.stdout.flush()
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def write(result: dict[str, Any]) -> None:
        answer.write(orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        answer.close()

    return write
