"""Enrolment: a one-time code and a fresh key become a known appliance, by network or by two files on a stick."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from appliance import network
from appliance.home import Home, NotReady, write_atomically

ANSWERS = ("appliance", "channel", "role", "token", "root")


class EnrolmentFailed(Exception):  # noqa: N818
    """This is not what the code promised; the message says why."""


def request(home: Home, code: str) -> dict[str, str]:
    """Return what the vendor needs: the code and the public half of this appliance's key."""
    if home.read("config.json") is not None:
        raise EnrolmentFailed(f"{home.folder} is enrolled already: use another folder, or remove this one")
    home.write("code.json", {"code": code})
    return {"code": code, "public_key": home.public_key()}


def enrol(home: Home, server: str, code: str, product_version: str) -> dict[str, Any]:
    """Enrol by network; return the configuration."""
    body = json.dumps(request(home, code)).encode()
    return accept(home, network.post(f"{server.rstrip('/')}/api/v1/appliances/enrol/", body), server, product_version)


def accept(home: Home, answer: dict[str, Any], server: str, product_version: str) -> dict[str, Any]:
    """Keep the vendor's answer, if its root is the one that the code names. Raises EnrolmentFailed."""
    asked = home.read("code.json")
    if asked is None:
        raise NotReady("nothing was asked: run `enroll --code CODE` first")
    if not all(isinstance(answer.get(name), str) and answer[name] for name in ANSWERS):
        raise EnrolmentFailed(f"the answer lacks one of {', '.join(ANSWERS)}")
    promised = asked["code"].rpartition("-")[2]
    root = answer["root"].encode()
    if len(promised) < 16 or not hashlib.sha256(root).hexdigest().startswith(promised):
        raise EnrolmentFailed("the root in the answer is not the one that the code names: somebody stands in between")
    write_atomically(home.folder / "root.json", root)
    config = {name: answer[name] for name in ANSWERS if name != "root"}
    home.write("config.json", config | {"server": server, "product_version": product_version})
    (home.folder / "code.json").unlink()
    return home.config()
