"""The features of each contract: their names and titles, and the ONNX graph that is their only implementation.

All features are numbers of the input, counts, or one division of a count or its root. Sums are sums of integers below
2**24, so float32 adds them exactly in any order: a batch of 1 and a batch of 10,000 give the same bits everywhere.
Nodes are few, because on one session each costs more than its arithmetic: the counts behind the shares are left to the
trees, which read the length too.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import product

import numpy as np
import onnx
from numpy.typing import NDArray

from detection.contract import HTTP_1, NUMBERS, TEXT, TOKENS, Contract
from detection.graph import FLOAT, INT32, GraphWriter, model, tensor

FEATURES = "features"  # name of the graph's output


class Measure(Enum):
    """How a feature is made."""

    NUMBER = "number"  # as it came
    COUNT = "count"  # bytes of a class in a text
    SHARE = "share"  # bytes of a class, divided by the bytes of the text
    SAMENESS = "sameness"  # root of the probability that two bytes drawn from the text are equal
    NEEDLE = "needle"  # occurrences of byte strings, overlapping ones included, upper and lower case alike


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One feature: where it comes from and what it is called on pages."""

    name: str
    title: str
    measure: Measure
    field: str | None = None  # the text it speaks about
    needles: tuple[bytes, ...] = ()
    byteset: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ByteClass:
    name: str
    title: str
    members: frozenset[int]


@dataclass(frozen=True, slots=True)
class NeedleGroup:
    name: str
    title: str
    needles: tuple[bytes, ...]


def _class(name: str, title: str, members: str | range) -> ByteClass:
    return ByteClass(name, title, frozenset(map(ord, members) if isinstance(members, str) else members))


def _group(name: str, title: str, *needles: str) -> NeedleGroup:
    return NeedleGroup(name, title, tuple(needle.encode() for needle in needles))


CONTROL = (*range(1, 0x20), 0x7F)
# Counted in each of the first three texts, and divided by its bytes.
CLASSES = (
    _class("digits", "digits", string.digits),
    _class("upper", "capital letters", string.ascii_uppercase),
    _class("vowels", "vowels", "aeiouAEIOU"),
    _class("hex", "hexadecimal digits", string.hexdigits),
    _class("dots", "dots", "."),
    _class("slashes", "slashes", "/\\"),
    _class("percents", "percent signs", "%"),
    _class("delimiters", "parameter delimiters", "&=;?"),
    _class("dashes", "dashes and underscores", "-_"),
    _class("punctuation", "punctuation", string.punctuation),
    _class("spaces", "spaces", " "),
    ByteClass("non_printable", "non-printable bytes", frozenset((*CONTROL, *range(0x80, 0xFF)))),
)
# Single bytes of the decoded request target: classes without a common byte.
DECODED_CLASSES = (
    _class("quotes", "quotes", "'\"`"),
    _class("angles", "angle brackets", "<>"),
    _class("parentheses", "parentheses", "()"),
    _class("braces", "braces and dollar signs", "{}$"),
    _class("pipes", "semicolons, pipes and exclamation marks", ";|!"),
    _class("spaces", "spaces", " \t\r\n"),
    _class("commas", "commas", ","),
    _class("stars", "asterisks and hashes", "*#"),
    _class("backslashes", "backslashes", "\\"),
    ByteClass("high", "bytes outside ASCII", frozenset(range(0x80, 0xFF))),
    ByteClass("control", "control bytes", frozenset(set(CONTROL) - set(b"\t\r\n"))),
)
URI_NEEDLES = (
    _group("double_encoding", "double encoding", "%25"),
    _group("encoded_traversal", "encoded traversal", "%2e", "%2f", "%5c", "%c0%", "%u00"),
    _group("encoded_quotes", "encoded quotes and brackets", "%27", "%22", "%3c", "%3e", "%28"),
    _group("encoded_zero", "encoded zero or line break", "%00", "%0a", "%0d"),
)
ATTACKS = (
    _group("lookup", "lookups", "${", "jndi:", "#{", "{{"),
    _group("script", "script in markup", "<script", "<svg", "<img", "<iframe", "javascript:"),
    _group("function", "shell function", "() {", "(){"),
    _group("sql", "SQL words", "select", "union", "' or", "sleep(", "1=1"),
    _group("traversal", "path traversal", "../", "..\\"),
    _group("system_file", "system files", "/etc/", "/proc/self", "win.ini"),
    _group("shell", "shell commands", "/bin/", ";wget", "curl ", "wget ", "powershell", "cmd.exe"),
)
DECODED_NEEDLES = (
    *ATTACKS[:3],
    _group("handlers", "event handlers in markup", "onerror", "onload", "onmouse", "onclick", "onfocus"),
    _group("script_calls", "script calls", "alert(", "prompt(", "confirm(", "document.", "eval("),
    _group("sql_read", "SQL reads", "select ", "select/", " from ", "union ", "union/", "union all"),
    _group("sql_write", "SQL writes", "insert ", "update ", "delete ", "drop ", "create "),
    _group("sql_logic", "SQL conditions", "' or", "' and", '" or', " or 1", " and 1", "1=1", "or '", "having "),
    _group("sql_timing", "SQL delays", "sleep(", "benchmark(", "waitfor", "pg_sleep"),
    _group("sql_schema", "SQL schema", "information_schema", "sysobjects", "@@version", "concat(", "char(", "0x"),
    _group("sql_comment", "SQL comments", "--", "/*", "*/"),
    _group("traversal", "path traversal", "../", "..\\", "./."),
    _group("system_file", "system files", "/etc/passwd", "/etc/", "/proc/self", "boot.ini", "win.ini", "/windows/"),
    _group("shell", "shell commands", "/bin/", "cmd.exe", "powershell", ";wget", "wget ", "curl ", "chmod ", "busybox"),
    _group("shell_pipe", "shell chaining", "&&", "||", "|nc", ";cat", ";ls", ";id", "|id", "$("),
    _group("temp_files", "temporary files", "/tmp/", "/var/", "/dev/"),  # noqa: S108
    _group("command", "command parameters", "cmd=", "exec=", "command=", "shell=", "ping=", "execute"),
    _group("file_parameter", "file parameters", "file=", "path=", "page=", "include=", "template=", "dir="),
    _group("url_parameter", "addresses in parameters", "=http", "=ftp", "=//", "url=", "redirect", "php://", "file://"),
    _group("code", "code in parameters", "<?php", "system(", "passthru", "assert(", "base64_", "phpinfo", "<%"),
    _group("template", "template expressions", "}}", "%{", "ognl", "class."),
    _group("object", "serialised objects", "ro0ab", "o:4:", "java.", "runtime", "getclass"),
    _group("directory", "directory queries", "*)(", "(|(", "(&(", "objectclass"),
    _group("markup", "documents in parameters", "<!doctype", "<!entity", "<?xml", "xmlns"),
    _group("header", "header injection", "\r\n", "\nset-cookie", "\nlocation"),
    _group("credentials", "credentials in parameters", "passw", "pwd=", "token=", "login", "user="),
    _group("admin", "administration paths", "admin", "setup", "config", "manager", "/wp-", "cgi-bin", "console"),
    _group("hidden", "hidden files", "/.git", "/.env", "/.svn", "/.ht", "/.aws", "/.ssh", ".bak", ".sql"),
    _group("ext_script", "server scripts", ".php", ".asp", ".jsp", ".cgi", ".pl", ".do", ".action"),
    _group("ext_program", "programs", ".exe", ".dll", ".bat", ".ps1", ".sh", ".msi", ".scr", ".hta", ".vbs", ".jar"),
    _group("ext_archive", "archives", ".zip", ".rar", ".7z", ".gz", ".cab", ".bin", ".apk", ".dat"),
    _group("ext_page", "pages and pictures", ".htm", ".js", ".css", ".png", ".jpg", ".gif", ".ico", ".svg", ".woff"),
    _group("api", "programming interfaces", "/api", "/v1", "/v2", "json", "graphql", "soap", "xmlrpc"),
)
METHODS = (
    _group("get", "GET", "get"),
    _group("post", "POST", "post"),
    _group("head", "HEAD", "head"),
    _group("put", "PUT, PATCH or DELETE", "put", "patch", "delete"),
    _group("options", "OPTIONS or TRACE", "options", "trace"),
    _group("connect", "CONNECT", "connect"),
    _group("webdav", "file sharing methods", "propfind", "mkcol", "move", "copy", "search", "lock"),
)
CONTENT_TYPES = (
    _group("html", "a page", "html"),
    _group("text", "plain text", "text/plain"),
    _group("json", "JSON or XML", "json", "xml"),
    _group("script", "a script", "javascript", "ecmascript"),
    _group("picture", "a picture or font", "image/", "font", "css"),
    _group("media", "sound or video", "video/", "audio/"),
    _group("binary", "a binary", "octet-stream", "x-ms", "dos", "exec", "download"),
    _group("archive", "an archive", "zip", "gzip", "tar", "compressed"),
    _group("form", "a form", "form"),
)
REFERERS = (*ATTACKS[:4], _group("secure", "an https page", "https://"))
TITLES = {
    "uri": "request target",
    "host": "host name",
    "user_agent": "user agent",
    "uri_decoded": "decoded request target",
    "referer": "referring page",
    "content_type": "content type",
    "method": "method",
    "status": "response status",
    "response_bytes": "response body, bytes",
    "dst_port": "server port",
}

NEEDLES: dict[str, tuple[NeedleGroup, ...]] = {
    "uri": URI_NEEDLES,
    "user_agent": ATTACKS,
    "uri_decoded": DECODED_NEEDLES,
    "referer": REFERERS,
    "content_type": CONTENT_TYPES,
    "method": METHODS,
}
SINGLE_BYTES: dict[str, tuple[ByteClass, ...]] = {"uri_decoded": DECODED_CLASSES}

HISTOGRAMS = ("uri", "host", "user_agent")  # the first texts of the contract, in its order
# The printable bytes each, control bytes together, bytes outside ASCII together: what histograms count.
ATOMS = 97
_CONTROL_ATOM, _HIGH_ATOM = 95, 96


@cache
def feature_specs(contract: Contract) -> tuple[FeatureSpec, ...]:
    """Return the features of a contract in the order of the graph's output."""
    if contract != HTTP_1:
        raise LookupError(f"no features for the contract {contract.id}")
    return (*_numbers(contract), *_histogram_specs(), *_pool_specs(contract))


def feature_names(contract: Contract) -> list[str]:
    """Return the names of the features in order."""
    return [spec.name for spec in feature_specs(contract)]


def spans(spec: FeatureSpec, text: bytes) -> list[tuple[int, int]]:
    """Return where in a text a feature looked: one span per counted occurrence, the longest run for a run."""
    if spec.measure in (Measure.COUNT, Measure.SHARE):
        return [(at, at + 1) for at, byte in enumerate(text) if byte in spec.byteset]
    if spec.measure is Measure.NEEDLE:
        folded = text.lower()  # bytes.lower() folds ASCII only, as the graph does
        return sorted(span for needle in spec.needles for span in _occurrences(needle, folded))
    return []


def _occurrences(needle: bytes, text: bytes) -> Iterator[tuple[int, int]]:
    at = text.find(needle)
    while at >= 0:
        yield at, at + len(needle)
        at = text.find(needle, at + 1)


# The specifications, in the order of the graph


def _numbers(contract: Contract) -> list[FeatureSpec]:
    titles = {name: title for name, title in TITLES.items() if name in contract.columns}
    titles |= {text.length: f"{TITLES[text.name]}: length, bytes" for text in contract.texts}
    titles |= {text.was_cut: f"{TITLES[text.name]}: longer than the window" for text in contract.texts}
    fields = {name: text.name for text in contract.texts for name in (text.length, text.was_cut)}
    return [FeatureSpec(name, titles[name], Measure.NUMBER, fields.get(name)) for name in contract.numbers]


def _histogram_specs() -> list[FeatureSpec]:
    """Each histogram text: the shares of all classes and the sameness."""
    return [spec for field in HISTOGRAMS for spec in _histogram_spec(field)]


def _histogram_spec(field: str) -> Iterator[FeatureSpec]:
    for byte_class in CLASSES:
        yield _class_spec(field, byte_class, Measure.SHARE)
    yield FeatureSpec(f"{field}.sameness", f"{TITLES[field]}: sameness of characters", Measure.SAMENESS, field)


def _class_spec(field: str, byte_class: ByteClass, measure: Measure) -> FeatureSpec:
    name = f"{field}.{measure.value}.{byte_class.name}"
    title = f"{TITLES[field]}: {byte_class.title}, {measure.value}"
    return FeatureSpec(name, title, measure, field, byteset=byte_class.members)


def _pool_specs(contract: Contract) -> list[FeatureSpec]:
    specs: list[FeatureSpec] = []
    for text in contract.texts:
        specs += [_class_spec(text.name, byte_class, Measure.COUNT) for byte_class in SINGLE_BYTES.get(text.name, ())]
        for group in NEEDLES.get(text.name, ()):
            name, title = f"{text.name}.needle.{group.name}", f"{TITLES[text.name]}: {group.title}"
            specs.append(FeatureSpec(name, title, Measure.NEEDLE, text.name, needles=group.needles))
    return specs


# The graph


def feature_inputs(contract: Contract) -> list[onnx.ValueInfoProto]:
    """Return the inputs of every graph that begins with the features of a contract."""
    return [tensor(TEXT, INT32, ["N", "L"]), tensor(NUMBERS, FLOAT, ["N", len(contract.numbers)])]


def write_features(contract: Contract) -> GraphWriter:
    """Return the nodes from the inputs to the output `features`, float32 [N, F]."""
    graph = GraphWriter(FEATURES)
    counts = _count_grams(graph, TEXT, _histogram_grams() | _pool_grams(contract))
    widths = graph.ints(len(HISTOGRAMS) * ATOMS, len(_pool_specs(contract)))
    histogram, pool = graph.add_many("Split", [counts, widths], outputs=2, axis=1)
    graph.name(graph.add("Concat", NUMBERS, _shapes(graph, histogram), pool, axis=1), FEATURES)
    return graph


@cache
def feature_model(contract: Contract) -> onnx.ModelProto:
    """Return the graph from inputs to features as a model of its own."""
    output = tensor(FEATURES, FLOAT, ["N", len(feature_specs(contract))])
    return model([write_features(contract)], feature_inputs(contract), [output], {})


Grams = dict[tuple[int, ...], int]  # tokens of a string → its column


def _histogram_grams() -> Grams:
    fields, bytes_ = range(len(HISTOGRAMS)), range(1, 0xFF)
    return {(TOKENS * field + byte,): ATOMS * field + _atom(byte) for field in fields for byte in bytes_}


def _pool_grams(contract: Contract) -> Grams:
    numbers = {text.name: number for number, text in enumerate(contract.texts)}
    folded = {text.name: text.is_folded for text in contract.texts}
    grams: Grams = {}
    for column, spec in enumerate(_pool_specs(contract), start=len(HISTOGRAMS) * ATOMS):
        field = spec.field or ""
        needles = spec.needles if folded[field] else [form for needle in spec.needles for form in _cases(needle)]
        for string_ in [*needles, *(bytes([byte]) for byte in sorted(spec.byteset))]:
            gram = tuple(byte + TOKENS * numbers[field] for byte in string_)
            if grams.setdefault(gram, column) != column:
                raise ValueError(f"{string_!r} belongs to two features of {field}")
    return grams


def _cases(needle: bytes) -> list[bytes]:
    forms = [{byte, *bytes([byte]).upper()} for byte in needle]
    return sorted(bytes(form) for form in product(*map(sorted, forms)))


def _count_grams(graph: GraphWriter, tokens: str, grams: Grams) -> str:
    longest = max(map(len, grams))
    by_length = [[gram for gram in grams if len(gram) == length] for length in range(1, longest + 1)]
    ordered = [gram for same in by_length for gram in same]
    starts = np.cumsum([0, *(len(same) * length for length, same in enumerate(by_length[:-1], start=1))])
    return graph.add(
        "TfIdfVectorizer",
        tokens,
        mode="TF",
        min_gram_length=1,
        max_gram_length=longest,
        max_skip_count=0,
        ngram_counts=[int(start) for start in starts],
        ngram_indexes=[grams[gram] for gram in ordered],
        pool_int64s=[token for gram in ordered for token in gram],
    )


def _shapes(graph: GraphWriter, histogram: str) -> str:
    """Return the shares and the sameness of each histogram text; NaN for a text without bytes."""
    fields, classes = len(HISTOGRAMS), len(CLASSES)
    atoms = graph.add("Reshape", histogram, graph.ints(-1, fields, ATOMS))
    counts = graph.add("MatMul", atoms, graph.constant(_class_table()))
    total = graph.add("MatMul", atoms, graph.constant(np.ones((ATOMS, 1), dtype=np.float32)))
    roots = graph.add("ReduceL2", atoms, graph.ints(2), keepdims=1)  # of whole numbers: rounded once, like a division
    shares = graph.add("Div", graph.add("Concat", counts, roots, axis=2), total)
    return graph.add("Reshape", shares, graph.ints(-1, fields * (classes + 1)))


def _atom(byte: int) -> int:
    if 0x20 <= byte < 0x7F:
        return byte - 0x20
    return _HIGH_ATOM if byte >= 0x80 else _CONTROL_ATOM


def _class_table() -> NDArray[np.float32]:
    table = np.zeros((ATOMS, len(CLASSES)), dtype=np.float32)
    for column, byte_class in enumerate(CLASSES):
        table[[_atom(byte) for byte in sorted(byte_class.members)], column] = 1
    return table
