"""Counts of an hour: cells of the board and pairs of models; readable, signed when they leave, sent until heard."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from appliance import telemetry, verbs
from appliance.run import Policy, Runner
from appliance.scorer import BundleScorer
from detection.envelopes import EnvelopeRefused, unseal
from detection.score_bins import score_bin
from tests.appliance import homes

LATER = datetime(2030, 1, 1, tzinfo=UTC)


def score(folder: Path, policy: Policy | None = None, hits: tuple[int, ...] = (2, 3, 4)) -> tuple[Any, dict[str, Any]]:
    home, source = homes.make_home(folder / "home"), folder / "eve.json"
    alerts = [homes.hit(number) for number in hits]
    source.write_bytes(b"\n".join([alerts[0], *homes.lines(60), *alerts[1:]]) + b"\n")
    Runner(home, str(source), str(folder / "out.json"), policy).run()
    [path] = home.telemetry.glob("*.json")
    return home, json.loads(path.read_bytes())


def test_cells_and_pairs_add_up(tmp_path: Path) -> None:
    home, record = score(tmp_path)
    one = home.in_force()["http"]
    scorer = BundleScorer.load(home.path_of(one.digest), one.digest)
    full = [scorer.score_fully(homes.record(number)).above for number in range(60)]
    for place, model in enumerate(record["models"]):
        name = model["model"].rpartition(":")[0]
        rules = {n for n in (2, 3, 4) if scorer.rules[name].matches(_hit())}
        cells = Counter(
            ("both" if n in rules else "model_only")
            if above[place]
            else ("heuristic_only" if n in rules else "neither")
            for n, above in enumerate(full)
        )
        assert {cell: model[cell] for cell in telemetry.CELLS} == {cell: cells[cell] for cell in telemetry.CELLS}
        assert model["scanned"] == 60
    [pair] = record["pairs"]
    assert sum(pair[cell] for cell in telemetry.PAIRS) == 60
    assert pair["both"] == sum(a and b for a, b in full)
    assert record["hour"].endswith(":00Z")


def _hit() -> dict[str, Any]:
    return {"sid": 2024897, "signature": "ET WEB_SERVER Attack", "category": "Web Application Attack", "severity": 1}


def test_scores_are_counted_by_bin_beside_the_cells(tmp_path: Path) -> None:
    home, record = score(tmp_path)
    one = home.in_force()["http"]
    scorer = BundleScorer.load(home.path_of(one.digest), one.digest)
    full = [scorer.score_fully(homes.record(number)).verdict.scores for number in range(60)]
    for place, model in enumerate(record["models"]):
        assert model["scores"] == dict(Counter(str(score_bin(scores[place])) for scores in full))


def test_silent_models_see_the_share_that_was_asked_for(tmp_path: Path) -> None:
    _home, record = score(tmp_path, Policy(silent_share=0.5, inspected=False), hits=(2,))
    silent, loud = record["models"]
    assert loud["scanned"] == 60 and 10 < silent["scanned"] < 50
    assert loud["neither"] == 0 and loud["not_inspected"] > 50


def test_nothing_but_counts_leaves(tmp_path: Path) -> None:
    _home, record = score(tmp_path)
    assert not any(host in json.dumps(record) for host in ("example.com", "10.0.", "passwd"))


def test_counts_are_signed_and_a_changed_number_is_noticed(tmp_path: Path) -> None:
    home, _record = score(tmp_path)
    [path] = telemetry.due(home, LATER)
    message = telemetry.envelope(home, path, LATER)
    said = unseal(message, lambda _name: home.public_key())
    assert (said.kind, said.counter, said.body["models"][0]["scanned"]) == ("telemetry", 1, 60)
    with pytest.raises(EnvelopeRefused, match="signature"):
        unseal(message.replace(b'"scanned":60', b'"scanned":61'), lambda _name: home.public_key())
    with pytest.raises(EnvelopeRefused, match="enrolled"):
        unseal(message, lambda _name: None)


def test_an_hour_that_goes_on_is_not_sent(tmp_path: Path) -> None:
    home, record = score(tmp_path)
    hour = datetime.fromisoformat(record["hour"])
    assert not list(telemetry.due(home, hour + timedelta(minutes=90)))
    assert len(list(telemetry.due(home, hour + timedelta(minutes=121)))) == 1


def test_a_vendor_that_is_down_hears_it_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, bytes]] = []

    class Vendor(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, body))
            self.send_response(503 if len(heard) < 3 else 204)
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    vendor = HTTPServer(("127.0.0.1", 0), Vendor)
    threading.Thread(target=vendor.serve_forever, daemon=True).start()
    try:
        home, _record = score(tmp_path)
        home.write("config.json", home.config() | {"server": f"http://127.0.0.1:{vendor.server_port}"})
        monkeypatch.setattr(verbs.time, "sleep", lambda _seconds: None)
        options = type("Options", (), {"home": home.folder, "now": True, "show": False, "out": None, "every": 0})
        assert verbs._telemetry(options()) == {"hours": 1}
    finally:
        vendor.shutdown()
    assert [path for path, _body in heard] == ["/api/v1/telemetry/"] * 3
    assert len({body for _path, body in heard}) == 1  # the same message: it can be counted once
    assert not list(home.telemetry.glob("*.json")) and len(list((home.telemetry / "sent").glob("*.json"))) == 1


def test_late_sessions_send_their_hour_again_as_a_whole(tmp_path: Path) -> None:
    home, before = score(tmp_path)
    [path] = home.telemetry.glob("*.json")
    telemetry.sent(home, path, datetime.now(UTC))
    late = tmp_path / "late.json"
    late.write_bytes(b"\n".join(homes.lines(10, 60)) + b"\n")
    Runner(home, str(late), str(tmp_path / "late-out.json")).run()
    [again] = telemetry.due(home, LATER)
    record = json.loads(again.read_bytes())
    assert again.name == path.name
    assert [model["scanned"] for model in record["models"]] == [model["scanned"] + 10 for model in before["models"]]
