"""What came from the wire: escaped, nothing unseen, marks at the right characters."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detection.contract import window
from labeling.wire import Mark, characters, hex_dump, is_odd, marked, text_as_sent, visible

any_text = st.text(alphabet=st.characters(codec=None), max_size=60)


@given(any_text)
@example("</textarea><script>alert(1)</script>")
@example('"><img src=x onerror=alert(1)>')
@example("{{7*7}}")
def test_no_text_makes_an_element_of_its_own(text):
    shown = visible(text)
    assert set(re.findall(r"</?[a-z]+", shown)) <= {"<span", "</span"}
    assert all(tag.startswith('<span class="odd" title="U+') for tag in re.findall(r"<span[^>]*>", shown))


@given(any_text)
def test_nothing_unseen_is_left(text):
    letters = html.unescape(re.sub(r"<[^>]+>", "", visible(text)))
    assert not any(is_odd(letter) for letter in letters)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_plain_text_reads_as_it_was(text):
    assert html.unescape(visible(text)) == text


@pytest.mark.parametrize(
    ("letter", "shown"),
    [
        ("\0", "NUL"),
        ("\n", "LF"),
        ("\x1b", "ESC"),
        ("\x7f", "DEL"),
        ("\u202e", "U+202E"),
        ("\u200b", "U+200B"),
        ("\ud800", "U+D800"),
    ],
)
def test_odd_characters_stand_in_boxes_with_their_names(letter, shown):
    assert f">{shown}</span>" in visible(letter)
    assert f'title="U+{ord(letter):04X}' in visible(letter)


def test_long_texts_are_cut_and_say_so():
    assert "86,904 more characters" in visible("A" * 91_000)
    assert len(visible("A" * 91_000)) < 5_000


def test_overlapping_marks_become_neighbours():
    shown = marked("abcdef", [Mark(0, 3, 1.0), Mark(2, 5, -0.25)])
    assert shown == (
        '<mark class="toward" title="+1.00">ab</mark><mark class="toward" title="+0.75">c</mark>'
        '<mark class="away" title="-0.25">de</mark>f'
    )


@given(any_text, st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70), st.floats(-9, 9)), max_size=6))
def test_marks_change_no_letter(text, marks):
    shown = marked(text, [Mark(min(a, b), max(a, b), weight) for a, b, weight in marks])
    assert re.sub(r"</?mark[^>]*>", "", shown) == visible(text)


# bytes of the model → characters of the page

LIMIT = 16


def test_ascii_spans_are_character_spans():
    assert characters("id=1' or", LIMIT, [(4, 5), (5, 8)]) == [(4, 5), (5, 8)]


def test_a_span_inside_a_character_takes_the_whole_character():
    assert characters("aéb", LIMIT, [(2, 3)]) == [(1, 2)]
    assert characters("日本", LIMIT, [(1, 4)]) == [(0, 2)]


def test_spans_in_the_tail_of_a_cut_text_are_moved():
    text = "0123456789" * 4
    seen = window(text.encode(), LIMIT)
    at = seen.rindex(b"789")
    (start, end), *_ = characters(text, LIMIT, [(at, at + 3)])
    assert (start, end) == (37, 40)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=40), st.data())
def test_every_span_covers_the_bytes_it_names(text, data):
    seen = window(text_as_sent(text), LIMIT)
    if not seen:
        return
    start = data.draw(st.integers(0, len(seen) - 1))
    end = data.draw(st.integers(start + 1, len(seen)))
    [(first, last)] = characters(text, LIMIT, [(start, end)])
    whole = text_as_sent(text)
    if len(whole) <= LIMIT:
        assert whole[start:end] in text_as_sent(text[first:last])
        assert len(text_as_sent(text[first + 1 : last - 1])) < max(end - start, 1)
    assert 0 <= first < last <= len(text)


def test_spans_beyond_the_text_are_dropped():
    assert characters("", LIMIT, [(0, 3)]) == []
    assert characters("ab", LIMIT, [(5, 9)]) == []


def test_hex_shows_offsets_bytes_and_letters():
    assert hex_dump("/a\0é") == "000000  2f 61 00 c3 a9                                   /a..."
    assert "more bytes" in hex_dump("x" * 2_000)
