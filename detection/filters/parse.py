"""Text → tree. A syntax error says at which column, and what could stand there."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from detection.filters.errors import FilterError, _
from detection.filters.tree import (
    DEEPEST,
    EVERYTHING,
    MOST_CHARACTERS,
    MOST_TESTS,
    Comparison,
    Either,
    Every,
    Form,
    Name,
    Negated,
    Node,
    Relation,
    Value,
)

_GRAMMAR = r"""
?start: either
?either: both (_OR both)*
?both: one (_AND one)*
?one: _NOT one -> negated
    | "(" either ")"
    | test
test: name RELATION value -> compared
    | name _IN set -> among
    | name _NOT _IN set -> not_among
name: WORD | WORD "(" QUOTED ")" PART?
?set: "(" value ("," value)* ")" -> values
    | "[" value ("," value)* "]" -> values
    | value -> values
value: QUOTED | WORD | NUMBER | ADDRESS | MOMENT | AGO

_OR.9: /\|\||or\b/i
_AND.9: /&&|and\b/i
_NOT.9: /!(?!=)|not\b/i
_IN.9: /in\b/i
RELATION: "==" | "!=" | "<=" | ">=" | "<" | ">" | "~" | "="
MOMENT.8: /\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?/
ADDRESS.7: /\d+\.\d+\.\d+\.\d+(\/\d+)?|[0-9a-f]*:[0-9a-f:]*:[0-9a-f:.]*(\/\d+)?/i
AGO.6: /now\b|-\d+[smhdw]\b/i
NUMBER.5: /-?\d+(\.\d+)?(e-?\d+)?(?![\w.])/i
QUOTED: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
PART: /\.[a-z_]+/i
WORD: /[a-z_][\w-]*(\.[\w-]+)*/i
%ignore /\s+/
"""

_SIGNS = re.compile(
    r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[()]|[=!<>]=|[!<>~=]|\b(?:not|in)\b", re.DOTALL | re.IGNORECASE
)
_RELATIONS = {"==", "!=", "<=", ">=", "<", ">", "~", "=", "in"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
_LARGEST_ESCAPE = 0xFFFF
_FORMS = {
    "QUOTED": Form.QUOTED,
    "WORD": Form.WORD,
    "NUMBER": Form.NUMBER,
    "ADDRESS": Form.ADDRESS,
    "MOMENT": Form.MOMENT,
    "AGO": Form.AGO,
}
_EXPECTED = {
    "RELATION": _("a comparison (==, !=, <, >, ~, in)"),
    "_IN": _("a comparison (==, !=, <, >, ~, in)"),
    "_AND": _("“and”"),
    "_OR": _("“or”"),
    "WORD": _("a field"),
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "COMMA": _("a comma"),
    "QUOTED": _("a quoted text"),
    "NUMBER": _("a number"),
    "PART": _(".score, .verdict or .rules"),
    "$END": _("the end"),
}


def parse(text: str) -> Node:
    """Return the tree of a filter; an empty one passes everything. Raises FilterError."""
    if len(text) > MOST_CHARACTERS:
        raise FilterError(_("the filter is longer than {most} characters"), MOST_CHARACTERS, most=MOST_CHARACTERS)
    if not text.strip():
        return EVERYTHING
    _refuse_depth(text)
    try:
        node: Node = _parser().parse(text)
    except UnexpectedInput as error:
        raise _readable(error, text) from None
    return node


@lru_cache(maxsize=1)
def _parser() -> Any:
    # the tree is built while reading, so that depth costs no recursion
    return Lark(_GRAMMAR, parser="lalr", transformer=_Tree(), maybe_placeholders=False)


class _Tree(Transformer[Token, Node]):
    def either(self, children: list[Node]) -> Node:
        return Either(tuple(children))

    def both(self, children: list[Node]) -> Node:
        return Every(tuple(children))

    def negated(self, children: list[Node]) -> Node:
        return Negated(children[0])

    def compared(self, children: list[Any]) -> Node:
        name, relation, value = children
        return Comparison(name, Relation("==" if relation == "=" else str(relation)), (value,))

    def among(self, children: list[Any]) -> Node:
        return Comparison(children[0], Relation.AMONG, children[1])

    def not_among(self, children: list[Any]) -> Node:
        return Negated(self.among(children))

    def values(self, children: list[Value]) -> tuple[Value, ...]:
        return tuple(children)

    def name(self, children: list[Token]) -> Name:
        word = children[0]
        if len(children) == 1:
            return Name(str(word).lower(), _column(word))
        part = str(children[2])[1:].lower() if len(children) > 2 else ""
        return Name(str(word).lower(), _column(word), _unquoted(children[1]), part, _column(children[1]))

    def value(self, children: list[Token]) -> Value:
        token = children[0]
        form = _FORMS[token.type]
        if form is Form.QUOTED:
            return Value(_unquoted(token), form, _column(token))
        if form is Form.WORD and token.lower() == "null":
            form = Form.NULL
        return Value(str(token), form, _column(token))


def _column(token: Token) -> int:
    return int(token.start_pos or 0) + 1


def _unquoted(token: str) -> str:
    def plain(match: re.Match[str]) -> str:
        written = match[1]
        if len(written) > 1:
            return chr(int(written[1:], 16))
        return _PLAIN_ESCAPES.get(written, "\\" + written)  # \d stays as it was written

    return _ESCAPE.sub(plain, token[1:-1])


def quoted(text: str) -> str:
    """Return a text as a filter names it, whatever stands in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else _escaped(letter) for letter in escaped) + '"'


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) <= _LARGEST_ESCAPE else letter


def _refuse_depth(text: str) -> None:
    """Keep what comes later from running out of stack."""
    depth = tests = negations = 0
    for match in _SIGNS.finditer(text):
        sign = match[0].lower()
        depth += {"(": 1, ")": -1}.get(sign, 0)
        negations = negations + 1 if sign in ("!", "not") else 0
        tests += sign in _RELATIONS
        if depth + negations > DEEPEST:
            raise FilterError(_("more than {most} brackets inside each other"), match.start() + 1, most=DEEPEST)
        if tests > MOST_TESTS:
            raise FilterError(_("more than {most} comparisons"), match.start() + 1, most=MOST_TESTS)


def _readable(error: UnexpectedInput, text: str) -> FilterError:
    column = (error.pos_in_stream if error.pos_in_stream is not None else len(text)) + 1
    if isinstance(error, UnexpectedCharacters):
        found = text[column - 1]
        if found in "\"'":
            return FilterError(_("this quotation mark is never closed"), column)
        sentence = _("“{found}” cannot stand here; a text that is no plain word stands in quotes")
        return FilterError(sentence, column, found=found)
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        expected = error.expected if isinstance(error, UnexpectedEOF) else error.accepts or error.expected
        sentence = _("the filter ends too early; expected {expected}")
        return FilterError(sentence, len(text.rstrip()) + 1, expected=_expected(expected))
    if isinstance(error, UnexpectedToken):
        expected = error.accepts or error.expected
        sentence = _("“{found}” cannot stand here; expected {expected}")
        return FilterError(sentence, column, found=str(error.token), expected=_expected(expected))
    return FilterError(_("this cannot be read"), column)


def _expected(terminals: Any) -> tuple[str, ...]:
    known = [_EXPECTED[one] for one in sorted(terminals) if one in _EXPECTED]
    if "QUOTED" in terminals and "RELATION" not in terminals:
        known = [_("a value (text in quotes, number, address or time)")]
    return tuple(dict.fromkeys(known)) or (_("something else"),)
