"""All pages of the house, found by its rights table: a new page is walked because its row exists.

Arguments come from tests.factories.URL_ARGS, or from links of pages where there is something better to see."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from django.http import HttpResponseBase
from django.test import Client
from django.urls import Resolver404, resolve, reverse

from accounts.models import User
from accounts.roles import Role
from tests import factories
from tests.test_rights import read_table

# JSON, redirects, another's design: Netron's own page is seen in the frame of a graph page, never by itself
NOT_PAGES = {"api:schema", "api:docs", "account_logout", "labeling:saved-queue", "models_registry:viewer"}
LINKS = re.compile(r'href="(/[^"#]*)')


def pages_of(user: User, *, only: Collection[str] = (), crawl: bool = False) -> dict[str, str]:
    """Return the addresses of the pages that a user's role may open, by URL name: whole pages, no fragments."""
    client = Client()
    client.force_login(user)
    linked = dict(_linked(client)) if crawl else {}
    found = {}
    for name, row in read_table().items():
        if Role(user.role) not in row.people.get("GET", ()) or name in NOT_PAGES or (only and name not in only):
            continue
        url = linked.get(name) or reverse(name, args=factories.URL_ARGS.get(name, list)())
        if _is_page(client.get(url)):
            found[name] = url
    return found


def _linked(client: Client, begin: str = "/") -> Iterator[tuple[str, str]]:
    """Walk links from page to page; give each URL name with the first address it was met at."""
    seen: set[str] = set()
    waiting = [begin]
    while waiting:
        url = waiting.pop(0).replace("&amp;", "&")
        try:
            name = resolve(url.partition("?")[0]).view_name
        except Resolver404:
            continue
        if name in seen:
            continue
        answer = client.get(url)
        if not _is_page(answer):
            continue
        seen.add(name)
        yield name, url
        waiting += LINKS.findall(answer.content.decode())


def _is_page(answer: HttpResponseBase) -> bool:
    return (
        answer.status_code == 200
        and answer.headers["Content-Type"].startswith("text/html")
        and b"<html" in getattr(answer, "content", b"")
    )
