"""Templates that are drawn once: what an item brings is filled in, escaped, and nothing of another item stays."""

from __future__ import annotations

import pytest
from django.utils import translation
from django.utils.safestring import SafeString

from labeling import drawing
from labeling.drawing import fill

SCORE = {"version": 3, "score": "0.9000", "threshold": "0.7000", "width": "90.00", "mark": "70.00"}


def score(**changes: object) -> str:
    looks = {"stage": "active", "is_positive": True, "positive_class": "malicious"} | changes
    return fill("labeling/_score.html", SCORE, **looks)  # type: ignore[arg-type]


def test_places_are_filled_where_the_template_prints_them() -> None:
    told = score()
    assert ":3 <span" in told
    assert told.count("0.9000") == 2
    assert "\0" not in told


def test_looks_decide_how_it_is_drawn() -> None:
    assert "malicious" in score()
    assert "lets pass" in score(is_positive=False)


def test_every_language_has_its_own() -> None:
    english = score(is_positive=False)
    with translation.override("ru"):
        assert score(is_positive=False) != english
    assert score(is_positive=False) == english


@pytest.mark.parametrize(
    ("value", "shown"), [("<b>", "&lt;b&gt;"), (SafeString("<b>"), "<b>"), ("{0} \\1 %s", "{0} \\1 %s")]
)
def test_what_is_not_known_to_be_safe_is_escaped(value: str, shown: str) -> None:
    told = fill("labeling/_score.html", SCORE | {"version": value}, stage="", is_positive=True, positive_class="")
    assert f":{shown} <span" in told


def test_words_among_the_looks_are_escaped_too() -> None:
    assert "<i>" not in score(positive_class="<i>")


def test_addresses_are_of_the_item() -> None:
    look = {"name": "host", "view": "labeling:host", "title": "Host"}
    first, second = (fill("labeling/_lazy.html", {}, item=item, **look) for item in (4, 5))
    assert 'hx-get="/items/4/host/"' in first
    assert 'hx-get="/items/5/host/"' in second
    assert str(drawing.STAND_IN) not in first + second


def test_a_second_item_of_a_look_draws_nothing() -> None:
    score()
    before = drawing._pattern.cache_info()
    score()
    after = drawing._pattern.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
