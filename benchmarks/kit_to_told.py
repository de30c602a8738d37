"""A complaint from kit to told on real processes, in seconds by the clock on the wall, step by step.

An appliance that enrolled by network makes a signed kit of a false positive; support files it on the page; an expert
answers; the worker trains and gates a candidate; an engineer builds the stop-gap from the page; two people sign its
releases, canary first, with `manage.py approve`; the clock finds it published; support answers; the mail arrives; the
appliance updates. Web server, two Celery workers, the beat of production, a file broker and a mail server are processes
or sockets of their own. People here do not think: their own time comes on top.
"""

from __future__ import annotations

import json
import os
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import _serving
from benchmarks._house import prepare_django, run_in
from benchmarks.traffic_files import ROOT

CONTACT = "soc@acme.example"
PATIENCE = 240.0  # seconds for one step
LIMITS = {"reproduced": 60.0, "in all": 900.0}  # seconds: "minutes"; the promise itself is 24 hours
HARMLESS = (
    "/search?q=union+select+committee",
    "/?id=student union select menu",
    "/wiki/O'Reilly?page=select",
    "/?note=don't select 1,2--",
)


def rows() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        database = os.environ.get("ETALON_BENCH_DATABASE", "")
        found: list[dict[str, Any]] = json.loads(run_in(folder, "kit_to_told", database=database))
        return found


class _Mailbox(socketserver.StreamRequestHandler):
    """As much of a mail server as a mail needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 bench\r\n")
        while word := self.rfile.readline().strip().upper():
            if word.startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                self.server.mails.append(b"".join(lines).decode())  # type: ignore[attr-defined]
            elif word.startswith(b"QUIT"):
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 ok\r\n")


@contextmanager
def _mail_server() -> Iterator[list[str]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mailbox) as server:
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ["EMAIL_URL"] = f"smtp://127.0.0.1:{server.server_address[1]}"
        yield server.mails  # type: ignore[attr-defined]
        server.shutdown()


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who plays."""

    support: Any
    expert: Any
    engineer: Any
    senior: Any


def measure(mails: list[str]) -> list[dict[str, Any]]:
    """Play it once; the process has a database of its own."""
    from django.db import connections

    from config.demo import broker

    folder = Path(os.environ["ETALON_VAR"])
    cast, customer, record = _house(folder)
    broker.prepare()
    connections.close_all()
    worker = ("celery", "--quiet", "-A", "config", "worker", "--pool", "solo", "-l", "warning", "-Q")
    with ExitStack() as stack:
        server = stack.enter_context(_serving.serving(1))
        stack.enter_context(_serving.process(*worker, "pipeline,notices"))
        stack.enter_context(_serving.process(*worker, "training"))
        stack.enter_context(_serving.process("celery", "--quiet", "-A", "config", "beat", "-l", "warning"))
        home = _enrolled(folder, customer, server.port)
        return _played(cast, customer, record, home, server.port, mails)


def _house(folder: Path) -> tuple[_Cast, Any, dict[str, Any]]:
    """Return people, a customer, and a session of his that his bundle flags and should not."""
    from django.core.management import call_command

    from accounts.roles import Role
    from config.demo import delivery
    from config.demo.experts import Visitor
    from detection.sources.suricata import session_row
    from models_registry.models import Version
    from models_registry.services import customers
    from tests import factories
    from tests.models_registry.loop import ATTACK, http, keep_snapshot, make_loop, right_rows
    from tests.triage.conftest import build
    from triage.services import served
    from triage.services.reproduction import file_of, score_row

    call_command("migrate", verbosity=0)
    log = folder / "log"
    log.mkdir()
    version = make_loop(log)
    keep_snapshot(version.detector, *right_rows())
    bundle = build(version)
    Version.objects.filter(pk=version.pk).update(stage="active")
    queue = factories.make_queue(detector=version.detector)
    for uri, answer in ((ATTACK, "positive"), ("/index.html", "negative")):  # what two experts agreed on before
        row = session_row(http(1, uri)) | {"hits": []}
        item = factories.make_session_item(queue, row, version=version)
        factories.make_reference_row(item=item, row=row, answer=answer)
    roles = (Role.SUPPORT, Role.EXPERT, Role.ENGINEER, Role.SENIOR)
    cast = _Cast(*(factories.make_user(role) for role in roles))
    served.serve(cast.support, None)
    customer = customers.make_customer("ACME")
    delivery.make_feed(cast.engineer, cast.senior)
    told = delivery.deliver(bundle, Visitor(cast.engineer), cast.senior)
    flagged = [http(7, uri) for uri in (*HARMLESS, ATTACK)]
    record = next(one for one in flagged if score_row(session_row(one), file_of(bundle)).fired)
    print(f"{told}; flagged: {record['http']['url']}", file=sys.stderr)
    return cast, customer, record


def _enrolled(folder: Path, customer: Any, port: int) -> Path:
    """Enrol an appliance by network and let it take the bundle of the feed."""
    from models_registry.services import appliances, customers

    code = appliances.make_code(customers.make_site(customer, "north"), "stable")
    home = folder / "appliance"
    _appliance(home, "enroll", "--server", f"http://127.0.0.1:{port}", "--code", code)
    _appliance(home, "update")
    return home


def _appliance(home: Path, *words: str) -> str:
    command = [sys.executable, "-m", "appliance", "--home", str(home), *words]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def _played(
    cast: _Cast, customer: Any, record: dict[str, Any], home: Path, port: int, mails: list[str]
) -> list[dict[str, Any]]:
    from labeling.services import claims, labels
    from models_registry.models import GateReport, Version
    from triage.models import Complaint

    jars = {one: _serving.signed_in(one.pk) for one in (cast.support, cast.engineer)}
    watch = _Watch()
    flagged, kit = home / "flagged.json", home / "flagged.kit.json"
    flagged.write_text(json.dumps(record))
    _appliance(home, "kit", "--record", str(flagged), "--contact", CONTACT, "--out", str(kit))
    watch.lap("kit made and signed")
    told = {"customer": customer.pk, "flagged": "see the kit", "contact": CONTACT}
    address = _sent(port, jars[cast.support], "/complaints/new/", told, {"files": kit})
    complaint = Complaint.objects.get(pk=int(re.findall(r"\d+", address)[-1]))
    tried, sealed = complaint.reproductions.get(), complaint.attachments.get().seal
    if complaint.state != "reproduced" or not tried.equal or sealed != "signed":
        raise RuntimeError(f"{complaint} is {complaint.state}, equal: {tried.equal}, the kit is {sealed}")
    watch.lap("reproduced")
    newest = Version.objects.latest("pk").pk
    item = complaint.states.get(state="received").item
    assert item is not None
    claims.claim(item, cast.expert)
    labels.submit(item, cast.expert, "negative")
    watch.until("confirmed", lambda: _state(complaint) != "reproduced")
    watch.until("candidate trained", lambda: Version.objects.filter(pk__gt=newest).exists())
    watch.until("candidate gated", lambda: GateReport.objects.filter(version__pk__gt=newest).exists())
    gate = GateReport.objects.filter(version__pk__gt=newest).latest("pk")
    found = next(check["text"] for check in gate.report["checks"] if check["name"] == "complaints")
    print(f"{gate.report['sentence']}; {found}", file=sys.stderr)
    page = f"/complaints/{complaint.pk}/"
    _sent(port, jars[cast.engineer], f"{page}stop-gaps/build/", {"how": "silent"})
    watch.until("fixed in a bundle", lambda: _state(complaint) == "fixed-in-bundle")
    fix = complaint.states.get(state="fixed-in-bundle").bundle
    assert fix is not None
    for channel in ("canary", "customer"):
        told = {"channel": channel, "reason": complaint.number}
        told |= {"customer": customer.pk} if channel == "customer" else {}
        address = _sent(port, jars[cast.engineer], f"/bundles/{fix.pk}/release/", told)
        if not address.startswith("/releases/"):
            raise RuntimeError(f"the page refused a release to {channel}")
        _signed(address.strip("/").rpartition("/")[2], cast)
        watch.lap(f"released to {channel}, signed by two")
    watch.until("published", lambda: _state(complaint) == "published")
    before = len(mails)
    _sent(port, jars[cast.support], f"{page}tell/", {"answer": f"You are right. It is fixed in {fix}."})
    watch.until("told, the mail arrived", lambda: any(complaint.number in mail for mail in mails[before:]))
    _appliance(home, "update")
    watch.lap("the appliance runs the fix")
    return [*watch.found, _row("in all", sum(row["ours"] for row in watch.found))]


class _Watch:
    """A watch with laps."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._began = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        self.found.append(_row(step, now - self._began))
        print(f"{step}: {now - self._began:.1f} s", file=sys.stderr)
        self._began = now

    def until(self, step: str, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not happened():
            if time.monotonic() > end:
                raise RuntimeError(f"not {step} within {PATIENCE:.0f} s")
            time.sleep(0.1)
        self.lap(step)


def _row(step: str, seconds: float) -> dict[str, Any]:
    limit = LIMITS.get(step)
    found = {"name": f"kit to told, {step}, s", "ours": round(seconds, 1), "against": "-", "theirs": None}
    return found | {"ratio": None, "target": limit, "holds": limit is None or seconds <= limit}


def _state(complaint: Any) -> str:
    return str(type(complaint).objects.values_list("state", flat=True).get(pk=complaint.pk))


def _signed(release: str, cast: _Cast) -> None:
    """Sign as each approver does, in a process that reads his key."""
    from config.demo.delivery import key_of

    for user in (cast.engineer, cast.senior):
        command = [sys.executable, "manage.py", "approve", release, "--key", str(key_of(user)), "--yes"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _sent(
    port: int, jar: dict[str, str], path: str, fields: dict[str, Any], files: dict[str, Path] | None = None
) -> str:
    """Send a form as a browser does; return where it leads."""
    import http.client

    from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

    told: dict[str, Any] = fields | {"csrfmiddlewaretoken": "a" * 32}
    opened = {name: file.open("rb") for name, file in (files or {}).items()}
    body = encode_multipart(BOUNDARY, told | opened)
    for file in opened.values():
        file.close()
    cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", path, body, {"Cookie": cookies, "Content-Type": MULTIPART_CONTENT})
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    if answer.status != 302:
        problem: Sequence[str] = re.findall(r'role="alert">(.*?)<', text) or [text[:200]]
        raise RuntimeError(f"{path}: {answer.status} {' '.join(problem)}")
    return answer.getheader("Location") or ""


if __name__ == "__main__":
    with _mail_server() as received:
        prepare_django()
        print(json.dumps(measure(received)))
