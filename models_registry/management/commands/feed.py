"""Keys and root of the delivery feed. Root keys live offline: their subcommands need no database."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from securesystemslib.signer import Signer

from models_registry.services import feed_metadata as tuf
from models_registry.services import signing_keys


class Command(BaseCommand):
    help = "make-key, read-token, register-key, prepare-root, sign-root, install-root, refresh, status"

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        make = actions.add_parser("make-key", help="a new ed25519 key pair, on the machine of its owner")
        make.add_argument("path", type=Path)
        make.add_argument("--ask-password", action="store_true")
        token = actions.add_parser("read-token", help="write the public half of a key on a PKCS#11 token")
        token.add_argument("uri", help="hsm:KEYID?label=TOKEN; PYKCS11LIB names the token's module")
        token.add_argument("out", type=Path)
        register = actions.add_parser("register-key", help="a person's public key, also on the page of releases")
        register.add_argument("user")
        register.add_argument("public", type=Path)
        prepare = actions.add_parser("prepare-root", help="the next root, to be signed offline")
        prepare.add_argument("out", type=Path)
        prepare.add_argument("--root-key", type=Path, action="append", required=True, help="public key file; repeat")
        prepare.add_argument("--threshold", type=int, default=1, help="signatures of root keys that a root needs")
        sign = actions.add_parser("sign-root", help="add one root key's signature; repeat for each, old and new")
        sign.add_argument("root", type=Path)
        held = sign.add_mutually_exclusive_group(required=True)
        held.add_argument("--key", type=Path)
        held.add_argument("--pkcs11", metavar="URI", help="root key on a token")
        sign.add_argument("--ask-password", action="store_true")
        install = actions.add_parser("install-root", help="put a signed root in force")
        install.add_argument("root", type=Path)
        actions.add_parser("refresh", help="sign timestamp and snapshot anew where needed, as the clock does")
        actions.add_parser("status", help="versions and validity of every role")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action'].replace('-', '_')}")(options)
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error

    def _make_key(self, options: dict[str, Any]) -> None:
        password = getpass.getpass("New password: ") if options["ask_password"] else ""
        key = signing_keys.make_key(options["path"], password)
        self.stdout.write(f"{options['path']} (keep it), {options['path']}.pub (hand it out): key id {key.keyid}")

    def _read_token(self, options: dict[str, Any]) -> None:
        key = signing_keys.token_key(options["uri"], lambda: getpass.getpass("PIN: "))
        options["out"].write_bytes(signing_keys.pem_of(key))
        self.stdout.write(f"{options['out']} (hand it out): key id {key.keyid}")

    def _register_key(self, options: dict[str, Any]) -> None:
        from accounts.models import User
        from models_registry.services import releases

        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"there is no user {options['user']}")
        made = releases.add_key(user, options["public"].read_bytes())
        self.stdout.write(f"{made}: counts once a root names it")

    def _prepare_root(self, options: dict[str, Any]) -> None:
        from models_registry.services import feed

        keys = [signing_keys.public_key(path.read_bytes()) for path in options["root_key"]]
        root = feed.prepare_root(keys, options["threshold"], timezone.now())
        options["out"].write_text(tuf.text_of(root), encoding="utf-8")
        self.stdout.write(f"{options['out']}: root version {root.signed.version}, to be signed by sign-root")

    def _sign_root(self, options: dict[str, Any]) -> None:
        root = tuf.read(options["root"].read_bytes())
        if options["pkcs11"]:
            pin = getpass.getpass("PIN: ")
            key = signing_keys.token_key(options["pkcs11"], lambda: pin)
            signer: Signer = signing_keys.token_signer(options["pkcs11"], key, pin)
        else:
            password = getpass.getpass("Password: ") if options["ask_password"] else ""
            signer = signing_keys.file_signer(options["key"], password)
        root.sign(signer, append=True)
        options["root"].write_text(tuf.text_of(root), encoding="utf-8")
        self.stdout.write(f"{options['root']}: {len(root.signatures)} signatures")

    def _install_root(self, options: dict[str, Any]) -> None:
        from models_registry.services import feed

        made = feed.install_root(options["root"].read_bytes())
        self.stdout.write(f"root version {made.version} is in force until {made.expires_at:%Y-%m-%d}")

    def _refresh(self, options: dict[str, Any]) -> None:
        from models_registry.services import feed

        self.stdout.write("signed anew" if feed.refresh(timezone.now()) else "nothing to do")

    def _status(self, options: dict[str, Any]) -> None:
        from models_registry.services import feed

        for role in ("root", "timestamp", "snapshot", *feed.signed_roles()):
            found = feed.newest_file(role)
            told = f"version {found.version}, valid until {found.expires_at:%Y-%m-%d %H:%M}" if found else "none yet"
            self.stdout.write(f"{role}: {told}")
