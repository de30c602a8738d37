"""Sign a release with one's own key: on one's own machine from a file, or where the database is by its number."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_registry.services import feed_metadata as tuf
from models_registry.services import signing_keys


class Command(BaseCommand):
    help = "Shows what a release says and signs it; the other signature is another person's."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("release", help="number of the release, or the file its page gave")
        parser.add_argument("--key", type=Path, help="private key file (feed make-key)")
        parser.add_argument("--pkcs11", metavar="URI", help="key on a token: hsm:KEYID?label=TOKEN")
        parser.add_argument(
            "--public", type=Path, help="public key file of the key on the token (default: asked of the token)"
        )
        parser.add_argument("--ask-password", action="store_true", help="the key file has a password")
        parser.add_argument("--out", type=Path, help="where the signatures go (default: beside the file)")
        parser.add_argument("--yes", action="store_true", help="do not ask before signing")

    def handle(self, *args: Any, **options: Any) -> None:
        number, parts, beside = self._release(options["release"])
        signer = self._signer(options)
        self.stdout.write("\n".join(tuf.describe(parts)))
        if not options["yes"] and input("Sign this? Type yes: ") != "yes":
            raise CommandError("not signed")
        try:
            values = signing_keys.sign_parts(signer, parts)
        except signing_keys.KeyRefused as error:
            raise CommandError(str(error)) from error
        said = {"release": number, "keyid": signer.public_key.keyid, "signatures": values}
        out: Path | None = options["out"] or beside
        if out is None:
            self._send(number, said)
            return
        out.write_text(json.dumps(said, indent=1), encoding="utf-8")
        self.stdout.write(f"signed: hand in {out} on the page of the release")

    def _release(self, given: str) -> tuple[int, dict[str, str], Path | None]:
        if given.isdigit():
            from models_registry.models import Release  # a file needs no database

            found = Release.objects.filter(pk=int(given)).first()
            if found is None:
                raise CommandError(f"there is no release {given}")
            return found.pk, found.parts, None
        try:
            value = json.loads(Path(given).read_bytes())
            return int(value["release"]), dict(value["parts"]), Path(f"{given}.signed.json")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CommandError(f"{given} is no release file: {error}") from error

    def _signer(self, options: dict[str, Any]) -> Any:
        try:
            if options["pkcs11"]:
                pin = getpass.getpass("PIN: ")
                given: Path | None = options["public"]
                public = (
                    signing_keys.public_key(given.read_bytes())
                    if given
                    else signing_keys.token_key(options["pkcs11"], lambda: pin)
                )
                return signing_keys.token_signer(options["pkcs11"], public, pin)
            if options["key"] is None:
                raise CommandError("name your key: --key FILE, or --pkcs11 URI")
            password = getpass.getpass("Password: ") if options["ask_password"] else ""
            return signing_keys.file_signer(options["key"], password)
        except (OSError, signing_keys.KeyRefused) as error:
            raise CommandError(str(error)) from error

    def _send(self, number: int, said: dict[str, Any]) -> None:
        from models_registry.models import Release, ReleaseOutcome
        from models_registry.services import releases

        try:
            published = releases.sign(Release.objects.get(pk=number), said["keyid"], said["signatures"])
        except releases.ReleaseRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        if published:
            self.stdout.write(f"signed; published: {published}")
        elif ReleaseOutcome.objects.filter(release=number).exists():
            self.stdout.write("signed; it is in the feed")
        else:
            self.stdout.write("signed; another signature is needed")
