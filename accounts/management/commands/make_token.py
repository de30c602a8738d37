"""`manage.py make_token NAME --kind sensor|system|portal`: what a machine shows; `--revoke PREFIX` ends one."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Token
from accounts.services import tokens
from accounts.services.users import RefusedError

MACHINES = [kind.value for kind in Token.MADE_BY_HAND]


class Command(BaseCommand):
    help = "Make a machine's token, and print its secret once; or revoke one by the prefix that pages show."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="of the sensor, the expert system or the organisation")
        parser.add_argument("--kind", choices=MACHINES, default=Token.Kind.SENSOR.value)
        parser.add_argument("--days", type=int, default=tokens.DAYS, help="after which it expires")
        parser.add_argument("--revoke", metavar="PREFIX", help="end this token instead")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["revoke"]:
            return self._revoke(options["revoke"])
        try:
            token, secret = tokens.make_token(Token.Kind(options["kind"]), options["name"] or "", days=options["days"])
        except RefusedError as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{token}, until {token.expires_at:%Y-%m-%d}: {secret}")
        return None

    def _revoke(self, prefix: str) -> None:
        token = Token.objects.filter(prefix=prefix).first()
        if token is None:
            raise CommandError(f"no token {prefix!r}: take the prefix from the tokens page")
        tokens.revoke(token)
        self.stdout.write(f"{token} is revoked.")
