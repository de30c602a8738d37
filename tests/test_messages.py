"""The house speaks Russian too: everything that pages say, in the right number, with nothing lost on the way."""

from __future__ import annotations

import re

import pytest
from django.utils import translation
from django.utils.translation import gettext, ngettext

from tests import messages

PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[sdr]")
CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)
# names, units and formats that are the same in both languages
SAME = {"JA3", "p90", "%(seconds)s s", "sids", "classtypes", "hex", "“and”"}


def strings(value: str | tuple[str, ...] | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


@pytest.fixture(scope="module")
def russian():
    return [message for message in messages.catalogue("ru") if message.id]


def test_the_catalogue_holds_what_pages_say_and_nothing_else():
    said = {(str(message.id), message.context) for message in messages.collected() if message.id}
    held = {(str(message.id), message.context) for message in messages.catalogue("ru") if message.id}
    assert said == held, "run `make messages`"
    assert (messages.folder("ru") / "django.po").read_bytes() == messages.as_po(messages.updated("ru"))


def test_everything_is_translated_and_nothing_is_a_guess(russian):
    assert messages.empty("ru") == []
    assert [message.id for message in russian if message.fuzzy] == []


def test_what_is_compiled_is_what_is_written():
    assert (messages.folder("ru") / "django.mo").read_bytes() == messages.as_mo("ru"), "run `make messages`"


def test_no_placeholder_is_lost_or_invented(russian):
    for message in russian:
        wanted = [set(PLACEHOLDER.findall(text)) for text in strings(message.id)]
        for form in strings(message.string):
            assert set(PLACEHOLDER.findall(form)) in wanted, (message.id, form)


def test_markup_and_ends_of_sentences_stay(russian):
    for message in russian:
        for form in strings(message.string):
            source = strings(message.id)[-1]
            assert re.findall(r"</?\w+>", form) == re.findall(r"</?\w+>", source), form
            assert (form[0].isspace(), form[-1].isspace()) == (source[0].isspace(), source[-1].isspace()), form
            for end in ".:?…":
                assert form.endswith(end) == source.endswith(end), (source, form)


def test_numbers_have_three_forms(russian):
    plural = [message for message in russian if isinstance(message.id, tuple)]
    assert len(plural) > 30
    for message in plural:
        assert len(message.string) == 3, message.id
    with translation.override("ru"):
        said = [ngettext("%(n)s session", "%(n)s sessions", n) % {"n": n} for n in (1, 2, 5, 11, 21, 22, 111)]
    assert said == [
        "1 сессия", "2 сессии", "5 сессий", "11 сессий", "21 сессия", "22 сессии", "111 сессий",
    ]  # fmt: skip


def test_it_is_russian(russian):
    """Nothing was copied as it stood; words of our trade are the trade's own."""
    copied = [m.id for m in russian for form in strings(m.string) if not CYRILLIC.search(PLACEHOLDER.sub("", form))]
    assert [
        text for text in copied if text not in SAME and re.search(r"[a-z]{3}", PLACEHOLDER.sub("", str(text)))
    ] == []
    with translation.override("ru"):
        words = {gettext(word) for word in ("false positive", "Reference set", "Sessions", "threshold", "Queue")}
    assert words == {"ложное срабатывание", "Эталонная выборка", "Сессии", "порог", "Очередь"}
