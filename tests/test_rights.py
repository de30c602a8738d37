"""Every URL, every method, every role and a stranger: what docs/rights.md says is what happens."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.models import User
from accounts.rights import roles_of
from accounts.roles import Role
from config import navigation
from tests import factories

TABLE = Path(__file__).resolve().parent.parent / "docs" / "rights.md"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
STRANGER = None
GROUPS: dict[str, frozenset[Role | None]] = {
    "signed in": frozenset(Role),
    "everybody": frozenset([*Role, STRANGER]),
    "signing in": frozenset(),
    "second factor": frozenset(),
    "sensor's token": frozenset(),
    "system's token": frozenset(),
    "behaviour models' token": frozenset(),
    "appliance's token": frozenset(),
} | {role.value: frozenset([role]) for role in Role}


@dataclass
class Row:
    """What the table says of one address: its line, or its lines where methods are for different people."""

    url_name: str
    people: dict[str, frozenset[Role | None]] = field(default_factory=dict)  # by method

    @property
    def allowed(self) -> frozenset[Role | None]:
        return frozenset().union(*self.people.values())


@cache
def read_table() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("\\", "") for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 3 or cells[0] == "url name" or set(cells[0]) <= {"-"}:
            continue
        name, methods, roles = (cell.replace("`", "") for cell in cells)
        allowed = set(methods.split())
        assert allowed <= set(METHODS), f"docs/rights.md: unknown method in the row of {name}: {methods}"
        row = rows.setdefault(name, Row(name))
        assert not allowed & row.people.keys(), f"docs/rights.md has two rows for {name}"
        for method in allowed | ({"HEAD"} if "GET" in allowed else set()):
            row.people[method] = _people(name, roles)
    return rows


def _people(name: str, roles: str) -> frozenset[Role | None]:
    if roles in GROUPS:
        return GROUPS[roles]
    words = re.split(r"[ ,]+", roles)
    unknown = [word for word in words if word not in GROUPS]
    assert not unknown, f"docs/rights.md: unknown role in the row of {name}: {unknown}"
    return frozenset().union(*(GROUPS[word] for word in words))


def url_names() -> list[str]:
    return sorted(_names(get_resolver().url_patterns, ()))


def _names(patterns: list[URLPattern | URLResolver], spaces: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns, (*spaces, pattern.namespace) if pattern.namespace else spaces)
        else:
            assert pattern.name, f"{pattern} has no name: nobody can write its row"
            yield ":".join((*spaces, pattern.name))


def test_every_url_has_a_row_and_every_row_a_url():
    rows, urls = set(read_table()), set(url_names())
    assert not urls - rows, f"no row in docs/rights.md for: {sorted(urls - rows)}"
    assert not rows - urls, f"no URL for these rows of docs/rights.md: {sorted(rows - urls)}"


def test_the_navigation_leads_to_pages_that_exist():
    for place in navigation.PLACES:
        assert reverse(place.url_name)


def test_no_two_places_of_the_navigation_share_a_key():
    keys = [place.key for place in navigation.PLACES]
    assert sorted(keys) == sorted(set(keys))


def test_the_marks_on_the_views_say_what_the_table_says():
    """The navigation trusts the marks."""
    rows = read_table()
    for name, view in _views(get_resolver().url_patterns, ()):
        marked = roles_of(view)
        if marked:
            assert marked == rows[name].allowed, name


def _views(patterns: list[URLPattern | URLResolver], spaces: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _views(pattern.url_patterns, (*spaces, pattern.namespace) if pattern.namespace else spaces)
        else:
            yield ":".join((*spaces, str(pattern.name))), pattern.callback


@pytest.mark.django_db
@pytest.mark.parametrize("url_name", url_names())
def test_every_method_with_every_role_and_with_a_stranger(url_name, caplog):
    caplog.set_level(logging.ERROR, "django.request")  # a line for each refusal takes longer than the refusal
    row = read_table().get(url_name)
    assert row is not None, f"no row in docs/rights.md for {url_name}"
    people = {role: factories.make_user(role) for role in Role}
    clients: dict[Role | None, Client] = {}  # signing in and starting a client take longer than most requests
    url = None
    for method in METHODS:
        for person in _asked(row, method):
            # made anew after each change: it may have settled or locked what the URL names, or ended its own session
            url = url or reverse(url_name, args=factories.URL_ARGS.get(url_name, list)())
            client = clients.get(person) or _client(people.get(person))
            response = client.generic(method, url)
            _check(row, method, person, response.status_code, response.headers.get("Location", ""))
            if method not in ("GET", "HEAD") and response.status_code < 400:
                url = None
                clients.pop(person, None)
            else:
                clients[person] = client


def _asked(row: Row, method: str) -> list[Role | None]:
    """Return who asks: everybody, but for HEAD, which is GET without its body, only one of those who may."""
    who = [STRANGER, *Role]
    spared = [person for person in who if person in row.people.get("GET", ())][1:] if method == "HEAD" else []
    return [person for person in who if person not in spared]


def _client(user: User | None) -> Client:
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)
    return client


def _check(row: Row, method: str, person: Role | None, status: int, location: str) -> None:
    to_sign_in = status == 302 and location.partition("?")[0] == reverse("account_login")
    # machines are not sent to a page: who shows nothing that counts here is told so
    unknown = status == 401 and row.url_name.startswith("api:")
    told = f"{method} {row.url_name} as {person or 'a stranger'} gave {status} {location}"
    assert status < 500, told
    if (allowed := row.people.get(method)) is None:
        assert status == 405 or (person not in row.allowed and (status == 403 or to_sign_in or unknown)), told
    elif person in allowed:
        assert status not in (401, 403, 405), told
        # signing out ends on the sign-in page, also for those who may
        assert not to_sign_in or row.url_name == "account_logout", told
    elif allowed:
        assert status == 403 if person is not STRANGER else (status == 403 or to_sign_in or unknown), told
    else:  # what it takes is not a role: nobody here gets further than a redirect
        assert status in (302, 403) or unknown, told
