"""`manage.py demo`: a house one can walk through, on this machine only. State lies in var/."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from accounts.models import User
from accounts.roles import Role
from accounts.services import users

LOOPBACK = "127.0.0.1"
SECOND_EXPERT = "expert2"  # two people make a reference row


class Command(BaseCommand):
    help = "Prepare the database, make one user per role, and serve on loopback."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--prepare-only", action="store_true", help="do not serve")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEVELOPMENT:
            raise CommandError("The demo needs ETALON_DEVELOPMENT=1: it prints passwords and speaks plain HTTP.")
        if not options["prepare_only"]:
            refuse_taken(options["port"])
        call_command("migrate", verbosity=0)
        self._make_users()
        if options["prepare_only"]:
            return
        self.stdout.write(f"\nEtalon serves at http://{LOOPBACK}:{options['port']}/ (Ctrl-C ends it)\n")
        self.stdout.flush()
        os.execv(sys.executable, [sys.executable, *server(options["port"])])  # noqa: S606 - our own interpreter

    def _make_users(self) -> None:
        if User.objects.exists():
            self.stdout.write("Accounts exist already. A new password: sign in as an administrator, or make_user.")
            return
        self.stdout.write("Accounts, shown this once:\n")
        people = [(role.value, role) for role in Role] + [(SECOND_EXPERT, Role.EXPERT)]
        for name, role in people:
            user, password = users.make_user(name, role)
            self.stdout.write(f"  {user.username:<15}{password}")


def refuse_taken(port: int) -> None:
    """Say it in one line; the server would say it in a hundred."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise CommandError(f"Port {port} is taken: try `make demo PORT={port + 1}`.") from error


def server(port: int) -> list[str]:
    """Return the arguments of the server. SQLite has one writer, so more threads would only wait for it."""
    threads = 1 if connection.vendor == "sqlite" else 2
    return [
        *("-m", "granian", "--interface", "wsgi", "--host", LOOPBACK, "--port", str(port)),
        *("--workers", "2", "--blocking-threads", str(threads), "--no-ws", "--log-level", "warning"),
        "config.wsgi:application",
    ]
