"""Every URL, every method, every role and a stranger: what docs/rights.md says is what happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

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
} | {role.value: frozenset([role]) for role in Role}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    url_name: str
    methods: frozenset[str]
    allowed: frozenset[Role | None]


def read_table() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("\\", "") for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 3 or cells[0] == "url name" or set(cells[0]) <= {"-"}:
            continue
        name, methods, roles = (cell.replace("`", "") for cell in cells)
        assert name not in rows, f"docs/rights.md has two rows for {name}"
        allowed = set(methods.split())
        assert allowed <= set(METHODS), f"docs/rights.md: unknown method in the row of {name}: {methods}"
        rows[name] = Row(name, frozenset(allowed | ({"HEAD"} if "GET" in allowed else set())), _people(name, roles))
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
def test_every_method_with_every_role_and_with_a_stranger(url_name):
    row = read_table().get(url_name)
    assert row is not None, f"no row in docs/rights.md for {url_name}"
    people = {role: factories.make_user(role) for role in Role}
    url = None
    for method in METHODS:
        for person in (STRANGER, *Role):
            # made anew after each change: it may have settled or locked what the URL names
            url = url or reverse(url_name, args=factories.URL_ARGS.get(url_name, list)())
            client = Client(raise_request_exception=False)
            if person is not STRANGER:
                client.force_login(people[person])
            response = client.generic(method, url)
            _check(row, method, person, response.status_code, response.headers.get("Location", ""))
            if method not in ("GET", "HEAD") and response.status_code < 400:
                url = None


def _check(row: Row, method: str, person: Role | None, status: int, location: str) -> None:
    to_sign_in = status == 302 and location.partition("?")[0] == reverse("account_login")
    told = f"{method} {row.url_name} as {person or 'a stranger'} gave {status} {location}"
    assert status < 500, told
    if method not in row.methods:
        assert status == 405 or (person not in row.allowed and (status == 403 or to_sign_in)), told
    elif person in row.allowed:
        assert status not in (401, 403, 405), told
        # signing out ends on the sign-in page, also for those who may
        assert not to_sign_in or row.url_name == "account_logout", told
    elif row.allowed:
        assert status == 403 if person is not STRANGER else (status == 403 or to_sign_in), told
    else:  # what it takes is not a role: nobody here gets further than a redirect
        assert status in (302, 403), told
