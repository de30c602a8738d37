"""How an announcement leaves the house: e-mail, webhooks by the Standard Webhooks form, syslog by RFC 5424.

An address of somebody else's choosing must not make this machine speak to its own network: a name is looked up once,
every address it has is judged, and the connection goes to an address that was judged."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import secrets
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage

TIMEOUT = 10.0  # seconds, of each step
ANSWER = 300  # bytes of what the other side says that are kept
SECRET_BYTES = 32
_FACILITY = 16  # local0
Address = tuple[str, int]


class NotDelivered(Exception):  # noqa: N818 (says what is true)
    """It did not arrive; `gone`: it never will."""

    def __init__(self, text: str, *, gone: bool = False) -> None:
        self.gone = gone
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent, whatever carries it."""

    id: str  # the same at every try: receivers know repeats by it
    topic: str
    subject: str
    body: str  # for people
    payload: dict[str, Any]  # for machines
    at: datetime  # when it became true
    is_urgent: bool = False


# --- e-mail --------------------------------------------------------------------------------------------------------


def mail(letter: Letter, address: str) -> str:
    """Send by SMTP; return what is worth noting. Raises NotDelivered."""
    if not settings.EMAIL_HOST:
        raise NotDelivered("no mail server: set EMAIL_URL", gone=True)
    message_id = f"<{letter.id}@etalon.invalid>"
    message = EmailMessage(letter.subject, letter.body, None, [address], headers={"Message-ID": message_id})
    try:
        message.send()
    except (OSError, ValueError) as error:  # smtplib's errors are OSErrors; a header with a line break is a ValueError
        raise NotDelivered(f"{type(error).__name__}: {error}") from None
    return "accepted by the mail server"


# --- webhooks ------------------------------------------------------------------------------------------------------


def new_secret() -> str:
    """Return a webhook secret in the form that libraries of receivers take."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return `webhook-signature`: HMAC-SHA256 over id, time and body, version 1 of the Standard Webhooks form."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = secret.encode()
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def webhook(letter: Letter, url: str, secret: str, now: datetime) -> str:
    """Post to a webhook; return its answer. Raises NotDelivered for everything but 2xx, redirects too."""
    body = json.dumps({"type": letter.topic, "timestamp": letter.at.isoformat(), "data": letter.payload}).encode()
    timestamp = int(now.timestamp())
    headers = {
        "content-type": "application/json",
        "user-agent": "Etalon",
        "webhook-id": letter.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, letter.id, timestamp, body),
    }
    parts = urlsplit(url)
    connection = _connection(url)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        answer = connection.getresponse()
        said = f"{answer.status} {answer.reason} {answer.read(ANSWER).decode('utf-8', 'replace')}".strip()
    except (OSError, http.client.HTTPException) as error:
        raise NotDelivered(f"{type(error).__name__}: {error}") from None
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise NotDelivered(said, gone=answer.status == 410)
    return said


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host, is_tls = parts.hostname or "", parts.scheme == "https"
    address = judged(host, parts.port or (443 if is_tls else 80), plain=not is_tls)
    return _Pinned(host, address, ssl.create_default_context() if is_tls else None)


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was judged, under the name that was asked for."""

    def __init__(self, host: str, address: Address, context: ssl.SSLContext | None) -> None:
        super().__init__(host, address[1], timeout=TIMEOUT)
        self._address, self._context = address, context

    def connect(self) -> None:
        self.sock = socket.create_connection(self._address, TIMEOUT)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


def judged(host: str, port: int, *, plain: bool = False) -> Address:
    """Return an address of a host that may be spoken to. Raises NotDelivered.

    One that is not public is refused unless ETALON_OUTBOX_NETWORKS names its network; so is plain HTTP."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise NotDelivered(f"{host} has no address: {error}") from None
    addresses = [_plain(ip_address(str(one).partition("%")[0])) for one in sorted(found)]
    for address in addresses:
        if not _is_named(address) and (plain or not _is_public(address)):
            why = "plain HTTP" if plain and _is_public(address) else "not a public address"
            raise NotDelivered(f"{host} is {address}: {why}, and its network is not in ETALON_OUTBOX_NETWORKS")
    return str(addresses[0]), port


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address inside an IPv6 one, where one hides there."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast


def _is_named(address: IPv4Address | IPv6Address) -> bool:
    return any(address in ip_network(one) for one in settings.ETALON_OUTBOX_NETWORKS)


# --- syslog --------------------------------------------------------------------------------------------------------


def syslog(letter: Letter, url: str) -> str:
    """Send one line by RFC 5424: a datagram, or over TCP with its length before it. Raises NotDelivered."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 514
    line = syslog_line(letter)
    address = judged(host, port)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        if parts.scheme == "tcp":
            with socket.create_connection(address, TIMEOUT) as stream:
                stream.sendall(f"{len(line)} ".encode() + line)
        else:
            with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
                datagrams.sendto(line, address)
    except OSError as error:
        raise NotDelivered(f"{type(error).__name__}: {error}") from None
    return f"{len(line)} bytes"


def syslog_line(letter: Letter) -> bytes:
    """Return the line: critical where somebody must act, else a notice."""
    priority = _FACILITY * 8 + (2 if letter.is_urgent else 5)
    data = " ".join(f'{name}="{_escaped(value)}"' for name, value in letter.payload.items() if value is not None)
    at = letter.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = f"<{priority}>1 {at} {_word(socket.gethostname())} etalon - {_word(letter.topic)}"
    return f"{head} [etalon@32473 {data}] \ufeff{_line(letter.subject)}".encode()[:8192]


def _escaped(value: Any) -> str:
    text = _line(str(value))
    for sign in ("\\", '"', "]"):
        text = text.replace(sign, f"\\{sign}")
    return text[:255]


def _line(text: str) -> str:
    return " ".join(text.split())


def _word(text: str) -> str:
    return "".join(sign if "!" <= sign <= "~" else "-" for sign in text)[:32] or "-"
