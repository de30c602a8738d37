"""`manage.py make_user NAME --role ROLE`: the first account, and any later one."""

from __future__ import annotations

import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.roles import Role
from accounts.services import users


class Command(BaseCommand):
    help = "Make an account. Prints its password once, or reads one from the standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--role", required=True, choices=[role.value for role in Role])
        parser.add_argument("--password-stdin", action="store_true", help="read the password from the standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        password = sys.stdin.readline().rstrip("\r\n") if options["password_stdin"] else None
        try:
            user, password_now = users.make_user(options["name"], Role(options["role"]), password=password)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        if password is None:
            self.stdout.write(f"{user.username} ({user.role}) password: {password_now}")
        else:
            self.stdout.write(f"{user.username} ({user.role}) made.")
