"""People as the demo plays them: signed in, they read pages and press the buttons that stand on them.

Nothing here calls a service. What a page does not offer to a role, nobody playing that role can do."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import orjson
from django.test import Client
from django.urls import reverse

from accounts.models import User
from config.demo import world
from traffic.simulator import Kind, Simulation, Truth
from triage.services.risk.items import QUEUE

ERRORS = 0.03  # share of an expert's answers that are wrong
UNSURE = 0.02  # share of "cannot tell"
COMPLAINT = "complaint"  # the kind of queue in which a customer waits for the reason


class NotAsExpected(RuntimeError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """A page did not answer as it does to a person; the message names it."""


# --- pages


@dataclass(slots=True)
class Form:
    """A form as it stands on a page."""

    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)  # name and value of each that sends it


class Page(HTMLParser):
    """The forms and links of a page, and the text of its <pre> blocks by id."""

    def __init__(self, address: str, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.address = address
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.texts: dict[str, str] = {}
        self._form: Form | None = None
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(given.get("action", ""))
            if given.get("method") == "post":
                self.forms.append(self._form)
        elif tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "pre":
            self._inside = given.get("id", "")
        elif self._form is not None and given.get("name"):
            if tag == "input" and given.get("type") == "hidden":
                self._form.hidden[given["name"]] = given.get("value", "")
            elif tag == "button" and given.get("type", "submit") == "submit":
                self._form.buttons.append((given["name"], given.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "pre":
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside] = self.texts.get(self._inside, "") + data

    def form(self, action: str) -> Form:
        """Return the form that goes to an address; an empty action goes to the page itself. NotAsExpected without."""
        found = [one for one in self.forms if (one.action or self.address) == action]
        if not found:
            raise NotAsExpected(f"{self.address} offers no form for {action}")
        return found[0]


class Visitor:
    """A user in a browser without scripts."""

    def __init__(self, user: User) -> None:
        self.user = user
        self._client = Client(enforce_csrf_checks=True, SERVER_NAME="localhost")
        self._client.force_login(user)

    def get(self, address: str) -> Page:
        """Open a page. NotAsExpected where it does not answer."""
        return Page(address, self._text(self._client.get(address), "GET", address, expected=200))

    def send(self, page: Page, action: str, **fields: Any) -> str:
        """Fill in a form of a page and send it; return where it leads. NotAsExpected when it is not on the page, or was
        refused."""
        values = page.form(action).hidden | fields
        answer = self._client.post(action, values)
        self._text(answer, "POST", action, expected=302)
        return str(answer["Location"])

    def _text(self, answer: Any, method: str, address: str, *, expected: int) -> str:
        text = answer.content.decode(answer.charset or "utf-8", "replace")
        if answer.status_code != expected:
            told = _told(text) or answer.get("Location", "")
            raise NotAsExpected(f"{method} {address} as {self.user}: {answer.status_code}, not {expected}. {told}")
        return str(text)


class _Words(HTMLParser):
    """The text of what alerts and error lists say."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        told = given.get("role") == "alert" or "errorlist" in (given.get("class") or "")
        if self._depth or told:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        self._depth = max(self._depth - 1, 0)

    def handle_data(self, data: str) -> None:
        if self._depth and data.strip():
            self.said.append(data.strip())


def _told(text: str) -> str:
    words = _Words()
    words.feed(text)
    return " ".join(words.said)[:300]


# --- experts


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody who knows the trade says of a session."""

    answer: str  # positive, negative, undecided
    family: str = ""
    reason: str = ""  # why a verdict on it is wrong
    is_mistake: bool = False


def opinion(truth: Truth | None, detector: str, luck: random.Random, *, errors: float, unsure: float) -> Opinion:
    """Return an answer: right but for the stated shares. A session nobody made cannot be told."""
    lot = luck.random()
    is_positive = world.is_positive(detector, truth) if truth else None
    if truth is None or is_positive is None or lot < unsure:
        return Opinion("undecided")
    is_mistake = lot < unsure + errors
    if is_positive != is_mistake:
        return Opinion("positive", family=truth.family if truth.is_attack else "", is_mistake=is_mistake)
    return Opinion("negative", reason="lookalike" if truth.kind is Kind.LOOK_ALIKE else "other", is_mistake=is_mistake)


class Colleague:
    """An expert who works through the queues as people do: claim, look, answer.

    What he knows beside the page is what an experienced person would find out about the session: it comes from the
    simulation, by the numbers in the raw record, and stands nowhere in the product. The same seed, name and session
    give the same answer."""

    def __init__(
        self,
        user: User,
        *,
        errors: float = ERRORS,
        unsure: float = UNSURE,
        seed: int = world.SEED,
        simulations: Sequence[Simulation] | None = None,
    ) -> None:
        self.visitor = Visitor(user)
        self.answers: dict[str, int] = {}
        self.mistakes = 0
        self._errors, self._unsure, self._seed = errors, unsure, seed
        self._simulations = list(simulations) if simulations is not None else world.everywhere(seed)
        self._at = ""  # the queue he sits at

    def answer_one(self, kinds: Sequence[str] = (), detector: str = "") -> bool:
        """Claim an item and answer it; False when nothing waits for him in the queues of these kinds and this detector
        (none named: in any)."""
        for address in self._queues(kinds, detector):
            page = self.visitor.get(address)
            if action := _verdict(page):
                self._answer(page, action)
                self._at = address
                return True
        self._at = ""
        return False

    def _queues(self, kinds: Sequence[str], detector: str) -> Iterator[str]:
        """Yield where work may wait: first where he sits, then in the order of the page."""

        def fits(link: str) -> bool:
            name, kind = _about(link)
            if QUEUE in link:
                return False  # days of people, whose truth no record tells: those are yours
            return (not kinds or kind in kinds) and (not detector or name == detector)

        first = self._at
        if first and fits(first):
            yield first
        for link in self.visitor.get(reverse("labeling:queues")).links:
            if link.endswith("/work/") and link != first and fits(link):
                yield link

    def _answer(self, page: Page, action: str) -> None:
        detector, kind = _about(page.address)
        pk = page.form(action).hidden["item"]
        record = self._record(pk)
        luck = random.Random(f"{self._seed}|{self.visitor.user}|{_name_of(record)}")  # noqa: S311 - a play
        said = opinion(
            world.truth_of(record, self._simulations), detector, luck, errors=self._errors, unsure=self._unsure
        )
        fields = {"answer": _button(page.form(action), said), "family": said.family}
        if kind == COMPLAINT:
            fields["note"] = _NOTES[said.answer]
        self.visitor.send(page, action, **fields)
        self.answers[said.answer] = self.answers.get(said.answer, 0) + 1
        self.mistakes += said.is_mistake

    def _record(self, pk: str) -> dict[str, Any]:
        """Read the raw record, as received."""
        page = self.visitor.get(reverse("labeling:raw-record", args=[pk]))
        try:
            record = orjson.loads(page.texts.get("raw-record", ""))
        except orjson.JSONDecodeError:
            return {}
        return record if isinstance(record, dict) else {}


_NOTES = {
    "positive": "The verdict stands.",
    "negative": "Not what the detector is for.",
    "undecided": "The record alone does not tell: the response body is needed.",
}


def _verdict(page: Page) -> str:
    """Return where the answer to the item on screen goes; empty when there is none that he holds."""
    return next((form.action for form in page.forms if form.action.endswith("/label/")), "")


def _about(link: str) -> tuple[str, str]:
    """Return detector and kind of the queue behind "/queues/http-attacks-unique/work/"."""
    name, _dash, kind = link.removesuffix("/work/").rpartition("/")[2].rpartition("-")
    return name, kind


def _button(form: Form, said: Opinion) -> str:
    """Return the button to press; where the page asks why the model was wrong, one with the reason."""
    offered = [value for name, value in form.buttons if name == "answer"]
    wanted = said.answer if said.answer in offered else f"{said.answer}:{said.reason}"
    if wanted not in offered:
        raise NotAsExpected(f"{form.action} offers {offered}, not {wanted}")
    return wanted


def _name_of(record: Mapping[str, Any]) -> str:
    return "|".join(str(record.get(name)) for name in ("flow_id", "tx_id", "timestamp"))
