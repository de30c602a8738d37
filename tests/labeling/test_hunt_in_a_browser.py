"""An expert asks by keyboard: words are completed, figures and rows come, a group narrows, a row opens."""

from __future__ import annotations

import pytest

from accounts.roles import Role
from tests.factories import make_row, make_stored_segment, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_hunt_is_asked_narrowed_and_opened(sign_in):
    begin = 1_772_366_400_000_000
    make_stored_segment([make_row(flow_id=n, start=begin + n * 60_000_000, uri=f"/page-{n % 4}", host="shop.example",
                                  src_ip=f"10.0.0.{n % 3}") for n in range(60)])  # fmt: skip
    tab = sign_in(make_user(Role.EXPERT))
    tab.goto("/hunt/")
    tab.keyboard.type("http.ur")
    tab.locator("#hunt-found a").first.wait_for()
    tab.keyboard.press("Tab")  # takes the first word that is offered
    tab.keyboard.type(' ~ "*page-1"')
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/hunt/?q=*")
    figures = tab.locator("#hunt-counts:not([aria-busy]) dl")
    figures.wait_for()
    assert figures.locator("dd").all_inner_texts()[:2] == ["15", "3"]
    tab.get_by_role("button", name="src.ip").click()
    tab.locator("#hunt-grouped").get_by_role("link", name="10.0.0.1").click()
    figures.wait_for()
    assert 'src.ip == "10.0.0.1"' in tab.locator("#hunt-q").input_value()
    assert figures.locator("dd").all_inner_texts()[:2] == ["5", "1"]
    tab.locator("tr[data-row] a[data-row-link]").first.click()
    tab.wait_for_url("**/sessions/*/")
