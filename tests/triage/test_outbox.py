"""The outbox over real sockets: SMTP, webhooks that sign and are patient, syslog; and addresses that are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from tests.factories import (
    make_announcement,
    make_complaint,
    make_delivery,
    make_session_item,
    make_subscription,
    make_unique_detect,
)
from tests.feeds import make_publication
from triage.models import Announcement, Delivery, DeliveryAttempt, Subscription
from triage.services import announcements, carriers, deadlines, filing, outbox
from triage.services.carriers import NotDelivered, judged

pytestmark = pytest.mark.django_db


class _Smtp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        def say(line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

        say("220 test")
        while word := self.rfile.readline().strip().upper():
            if word.startswith(b"DATA"):
                say("354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line)
                self.server.mails.append(b"".join(lines).decode())
            elif word.startswith(b"QUIT"):
                say("221 bye")
                return
            say("250 ok")


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.calls.append((dict(self.headers), body))
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *args) -> None:
        return


def _serving(server) -> Iterator:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def smtp(settings):
    server = socketserver.TCPServer(("127.0.0.1", 0), _Smtp)
    server.mails = []
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
    yield from _serving(server)


@pytest.fixture
def hook(settings):
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    server.calls, server.answers = [], []
    server.url = f"http://127.0.0.1:{server.server_port}/in?a=1"
    settings.ETALON_OUTBOX_NETWORKS = ["127.0.0.1/32"]
    yield from _serving(server)


def test_a_subscriber_and_the_customer_are_written_to(smtp, support):
    make_subscription(carrier="mail", target="soc@vendor.example", topics=["complaint."])
    complaint = filing.file(make_complaint().customer, "it was flagged", "ciso@acme.example", support)
    assert outbox.deliver() == 3
    to_customer = [mail for mail in smtp.mails if "To: ciso@acme.example" in mail]
    assert len(to_customer) == 1
    assert f"We received {complaint.number}" in to_customer[0].replace("=\n", "")
    told = [mail for mail in smtp.mails if "To: soc@vendor.example" in mail]
    assert len(told) == 2
    assert all("it was flagged" not in mail and "ciso@" not in mail for mail in told)  # the customer's, not theirs


def test_a_webhook_can_be_checked_and_knows_repeats(hook):
    secret = carriers.new_secret()
    subscription = make_subscription(target=hook.url, secret=secret)
    delivery = make_delivery(subscription=subscription)
    hook.answers = [500]
    assert outbox.deliver() == 0
    with time_machine.travel(timezone.now() + timedelta(seconds=6)):
        assert outbox.deliver() == 1
    (first, body), (second, _body) = hook.calls
    assert first["webhook-id"] == second["webhook-id"]
    signed = f"{first['webhook-id']}.{first['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert first["webhook-signature"] == f"v1,{expected}"
    assert json.loads(body)["data"] == {"n": 1}
    assert [one.delivered for one in delivery.tries.all()] == [False, True]
    delivery.refresh_from_db()
    assert delivery.state == "delivered"


def test_the_signature_is_that_of_the_published_example():
    """The vector of the Standard Webhooks documents."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    told = carriers.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_patience_ends_after_three_days(hook):
    delivery = make_delivery(subscription=make_subscription(target=hook.url))
    hook.answers = [503] * 20
    now = timezone.now()
    for wait in [timedelta(), *outbox.PATIENCE, timedelta(days=1), timedelta(days=1)]:
        now += wait + timedelta(seconds=1)
        with time_machine.travel(now, tick=False):
            outbox.deliver()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries.count()) == ("given-up", 1 + len(outbox.PATIENCE))
    assert Subscription.objects.get().failing_since is not None


@pytest.mark.parametrize(("answer", "state", "active"), [(410, "given-up", False), (302, "waiting", True)])
def test_gone_is_gone_and_a_redirect_is_not_followed(hook, answer, state, active):
    delivery = make_delivery(subscription=make_subscription(target=hook.url))
    hook.answers = [answer]
    outbox.deliver()
    delivery.refresh_from_db()
    assert (delivery.state, Subscription.objects.get().active) == (state, active)


def test_a_receiver_that_is_away_is_tried_again():
    delivery = make_delivery(subscription=make_subscription(target="https://127.0.0.1:1/"))
    assert outbox.deliver() == 0
    assert "not a public address" in delivery.tries.get().answer


OURS = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "0.0.0.0", "100.64.0.1", "224.0.0.1"]
OURS += ["::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "2002:7f00:1::"]


@pytest.mark.parametrize("address", OURS)
def test_addresses_of_our_own_networks_are_refused(monkeypatch, address):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", (address, 443))])
    with pytest.raises(NotDelivered, match="not a public address"):
        judged("hooks.example", 443)


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch):
    found = [(0, 0, 0, "", (one, 443)) for one in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: found)
    with pytest.raises(NotDelivered):
        judged("hooks.example", 443)


def test_a_name_that_changes_between_look_up_and_connection_gains_nothing(monkeypatch, hook):
    """DNS rebinding: the connection goes to the address that was judged; the name is not asked a second time."""
    answers = iter(["127.0.0.1", "10.0.0.1"])
    asked = []

    def look_up(host, *a, **k):
        asked.append(host)
        return [(0, 0, 0, "", (next(answers), hook.server_port))] if host == "rebind.example" else real(host, *a, **k)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    make_delivery(subscription=make_subscription(target=f"http://rebind.example:{hook.server_port}/"))
    assert outbox.deliver() == 1
    assert asked.count("rebind.example") == 1
    assert hook.calls[0][0]["Host"].startswith("rebind.example")


def test_plain_http_to_a_public_address_is_refused(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", ("93.184.216.34", 80))])
    with pytest.raises(NotDelivered, match="plain HTTP"):
        judged("hooks.example", 80, plain=True)


def test_breaches_go_to_syslog(settings):
    settings.ETALON_OUTBOX_NETWORKS = ["127.0.0.1/32"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        target = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        make_subscription(carrier="syslog", target=target, topics=["deadline.breach"])
        complaint = make_complaint(received_at=timezone.now() - timedelta(hours=24, minutes=5))
        deadlines.watch()
        assert outbox.deliver() == 1
        line = receiver.recv(9000).decode()
    assert line.startswith("<130>1 ")
    assert f'complaint="{complaint.number}"' in line
    assert "deadline.breach" in line


def test_a_line_of_syslog_cannot_be_torn_by_what_it_says():
    letter = outbox.letter_of(make_announcement(subject="a\nb", payload={"x": 'q"]\\ \n<1>'}))
    line = carriers.syslog_line(letter).decode()
    assert "\n" not in line
    assert 'x="q\\"\\]\\\\ <1>"' in line


def test_confirmed_labels_and_releases_are_collected_once():
    make_unique_detect(cell="unique")
    wrong = {"state": "settled", "outcome": "negative", "settled_at": timezone.now() - timedelta(hours=14)}
    make_session_item(cell="unique", **wrong)
    make_session_item(cell="quiet", **wrong)
    make_session_item(cell="unique", **wrong | {"settled_at": timezone.now()})  # can still be taken back
    make_publication()
    assert announcements.collect() == 3
    assert announcements.collect() == 0
    topics = sorted(Announcement.objects.values_list("topic", flat=True))
    assert topics == ["label.false-positive", "label.unique-detect", "release.published"]


def test_a_delivery_whose_process_died_is_taken_up_again(hook):
    delivery = make_delivery(subscription=make_subscription(target=hook.url))
    Delivery.objects.filter(pk=delivery.pk).update(next_at=timezone.now() + outbox.LEASE, attempts=1)
    assert outbox.deliver() == 0
    with time_machine.travel(timezone.now() + outbox.LEASE + timedelta(seconds=1)):
        assert outbox.deliver() == 1


# the page


def test_administrators_keep_subscribers_and_see_a_secret_once(administrator_client, auditor_client, hook):
    url = reverse("triage:outbox")
    told = {"carrier": "webhook", "target": hook.url, "topics": ["deadline.breach"], "language": "en"}
    page = administrator_client.post(url, told).text
    made = Subscription.objects.get()
    assert made.secret in page
    assert made.secret not in administrator_client.get(url).text
    administrator_client.post(reverse("triage:test-subscription", args=[made.pk]))
    assert DeliveryAttempt.objects.get().delivered
    shown = auditor_client.get(url).text
    assert "204" in shown
    assert "Add a subscriber" not in shown
    assert auditor_client.post(url, told).status_code == 409
    administrator_client.post(reverse("triage:unsubscribe", args=[made.pk]))
    assert not Subscription.objects.get().active


@pytest.mark.parametrize(
    ("carrier", "target"),
    [
        ("webhook", "ftp://x.example/"),
        ("webhook", "https://u:p@x.example/"),
        ("mail", "nobody"),
        ("syslog", "https://a/"),
    ],
)
def test_targets_that_cannot_be_are_refused(administrator_client, carrier, target):
    answer = administrator_client.post(
        reverse("triage:outbox"), {"carrier": carrier, "target": target, "language": "en"}
    )
    assert answer.status_code == 400
    assert not Subscription.objects.exists()
