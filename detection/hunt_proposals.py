"""What a language model is told to put a sentence into the language of hunts, and what counts as its answer.

The sentence and the words of the language leave the house, and nothing else: no names of detectors, sensors or rules,
no traffic. Its answer is a text for a person to read, and never runs by itself."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from detection.filters.fields import FIELDS, FUNCTIONS, Place
from detection.suggestions import ADDRESS, NotAnAnswer, one_object
from detection.texts import storable

LONGEST_SENTENCE = 500  # characters
LONGEST_FILTER = 2_000
_STAND_IN = "192.0.2."  # RFC 5737: an address of no one
MOST_ADDRESSES = 254  # stand-ins that there are
_STOOD_IN = re.compile(r"(?<![\w.])192\.0\.2\.(\d{1,3})(?![\w.])")


@dataclass(frozen=True, slots=True)
class Told:
    """What leaves the house of a sentence, and the addresses that stay."""

    text: str
    addresses: tuple[str, ...]  # 192.0.2.1 stands for the first


def told(sentence: str, *, addresses: bool) -> Told:
    """Return a sentence as it leaves; without `addresses` each one is replaced by one of nobody's."""
    # lone surrogates cannot be sent
    text = sentence[:LONGEST_SENTENCE].encode("utf-8", "replace").decode()
    if addresses:
        return Told(text, ())
    found = list(dict.fromkeys(match.group() for match in ADDRESS.finditer(text)))[:MOST_ADDRESSES]
    places = {address: f"{_STAND_IN}{place}" for place, address in enumerate(found, start=1)}
    return Told(ADDRESS.sub(lambda match: places.get(match.group(), f"{_STAND_IN}0"), text), tuple(found))


def put_back(filter_text: str, addresses: tuple[str, ...]) -> str:
    """Return a filter with the addresses that the sentence named."""

    def real(match: re.Match[str]) -> str:
        place = int(match.group(1))
        return addresses[place - 1] if 0 < place <= len(addresses) else match.group()

    return _STOOD_IN.sub(real, filter_text)


def question(sentence: str) -> list[dict[str, str]]:
    """Return the messages that ask for a filter."""
    task = (
        "You help security experts to search stored HTTP and TLS sessions. Put the sentence of the expert into one "
        "filter of the language below. Use only its fields. Answer with one JSON object and nothing else: "
        '{"filter": "the filter"}; when the sentence asks for something that no field tells, {"filter": ""}.\n\n'
        f"{_GRAMMAR}\n\nFields (name, kind, meaning):\n{_fields()}"
    )
    return [{"role": "system", "content": task}, {"role": "user", "content": json.dumps({"sentence": sentence})}]


_GRAMMAR = """\
== != compare; < <= > >= for numbers and times; in (a, b) and not in (a, b) for one of several; ~ "*.example" is a glob
with * and ?, letters of either case. and, or, not, brackets. Texts in double quotes. Addresses: src.ip in 10.0.0.0/8.
Times: 2026-03-03T10:00:00Z, or -24h, -7d before now. null is a missing value: tls.sni == null.
Examples: src.ip in 10.0.0.0/8 and (http.url ~ "*../*" or rule.sid == 2019401) and start > -7d
tls.sni ~ "*.example" and not tls.ja4 == null"""


def _fields() -> str:
    lines = [f"{field.name}, {field.kind.value}, {field.title}" for field in FIELDS if field.place is not Place.MODEL]
    lines += [f'{name}("detector"), {title}' for name, title in FUNCTIONS.items()]
    return "\n".join(lines)


def read_answer(text: str) -> str:
    """Return the filter that a model wrote, "" where it knows none. Raises NotAnAnswer."""
    found = one_object(text, {"filter"}, "one filter")
    if not isinstance(found["filter"], str):
        raise NotAnAnswer("another object than was asked for")
    written = storable(found["filter"]).strip()
    if len(written) > LONGEST_FILTER:
        raise NotAnAnswer(f"a filter of {len(written):,} characters")
    return written
