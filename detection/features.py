"""The features of each contract: their names and titles, and the ONNX graph that is their only implementation.

All features are numbers of the input, counts, or one division of a count or its root. Sums are sums of integers below
2**24, so float32 adds them exactly in any order: a batch of 1 and a batch of 10,000 give the same bits everywhere.
Nodes are few, because on one session each costs more than its arithmetic: the counts behind the shares are left to the
trees, which read the length too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import product

import numpy as np
import onnx
from numpy.typing import NDArray

from detection.contract import HTTP_1, NUMBERS, TEXT, TLS_1, TOKENS, Contract
from detection.graph import FLOAT, INT32, GraphWriter, model, tensor
from detection.http_recipe import HTTP
from detection.recipes import ByteClass, Recipe
from detection.tls_recipe import TLS

FEATURES = "features"  # name of the graph's output
RECIPES = {HTTP_1: HTTP, TLS_1: TLS}


class Measure(Enum):
    """How a feature is made."""

    NUMBER = "number"  # as it came
    COUNT = "count"  # bytes of a class in a text
    SHARE = "share"  # bytes of a class, divided by the bytes of the text
    SAMENESS = "sameness"  # root of the probability that two bytes drawn from the text are equal
    RATIO = "ratio"  # one number divided by another
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


# The printable bytes each, control bytes together, bytes outside ASCII together: what histograms count.
ATOMS = 97
_CONTROL_ATOM, _HIGH_ATOM = 95, 96


@cache
def feature_specs(contract: Contract) -> tuple[FeatureSpec, ...]:
    """Return the features of a contract in the order of the graph's output."""
    recipe = _recipe(contract)
    return (*_numbers(contract, recipe), *_ratios(recipe), *_histogram_specs(recipe), *_pool_specs(contract, recipe))


def _recipe(contract: Contract) -> Recipe:
    if contract not in RECIPES:
        raise LookupError(f"no features for the contract {contract.id}")
    return RECIPES[contract]


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


def _numbers(contract: Contract, recipe: Recipe) -> list[FeatureSpec]:
    titles = {name: title for name, title in recipe.titles.items() if name in contract.numbers}
    titles |= {text.length: f"{recipe.titles[text.name]}: length, bytes" for text in contract.texts}
    titles |= {text.was_cut: f"{recipe.titles[text.name]}: longer than the window" for text in contract.texts}
    fields = {name: text.name for text in contract.texts for name in (text.length, text.was_cut)}
    return [FeatureSpec(name, titles[name], Measure.NUMBER, fields.get(name)) for name in contract.numbers]


def _ratios(recipe: Recipe) -> list[FeatureSpec]:
    return [FeatureSpec(ratio.name, ratio.title, Measure.RATIO) for ratio in recipe.ratios]


def _histogram_specs(recipe: Recipe) -> list[FeatureSpec]:
    """Each histogram text: the shares of all classes and the sameness."""
    return [spec for field in recipe.histograms for spec in _histogram_spec(recipe, field)]


def _histogram_spec(recipe: Recipe, field: str) -> Iterator[FeatureSpec]:
    title = recipe.titles[field]
    for byte_class in recipe.classes:
        yield _class_spec(field, title, byte_class, Measure.SHARE)
    yield FeatureSpec(f"{field}.sameness", f"{title}: sameness of characters", Measure.SAMENESS, field)


def _class_spec(field: str, title: str, byte_class: ByteClass, measure: Measure) -> FeatureSpec:
    name = f"{field}.{measure.value}.{byte_class.name}"
    return FeatureSpec(
        name, f"{title}: {byte_class.title}, {measure.value}", measure, field, byteset=byte_class.members
    )


def _pool_specs(contract: Contract, recipe: Recipe) -> list[FeatureSpec]:
    specs: list[FeatureSpec] = []
    for field in (text.name for text in contract.texts):
        title = recipe.titles[field]
        classes = recipe.single_bytes.get(field, ())
        specs += [_class_spec(field, title, byte_class, Measure.COUNT) for byte_class in classes]
        for group in recipe.needles.get(field, ()):
            name = f"{field}.needle.{group.name}"
            specs.append(FeatureSpec(name, f"{title}: {group.title}", Measure.NEEDLE, field, needles=group.needles))
    return specs


# The graph


def feature_inputs(contract: Contract) -> list[onnx.ValueInfoProto]:
    """Return the inputs of every graph that begins with the features of a contract."""
    return [tensor(TEXT, INT32, ["N", "L"]), tensor(NUMBERS, FLOAT, ["N", len(contract.numbers)])]


def write_features(contract: Contract) -> GraphWriter:
    """Return the nodes from the inputs to the output `features`, float32 [N, F]."""
    recipe = _recipe(contract)
    graph = GraphWriter(FEATURES)
    histograms, pools = _histogram_grams(recipe), _pool_grams(contract, recipe)
    if not histograms.keys().isdisjoint(pools):
        raise ValueError("single bytes of a histogram text are counted by its histogram already")
    counts = _count_grams(graph, TEXT, histograms | pools)
    widths = graph.ints(len(recipe.histograms) * ATOMS, len(_pool_specs(contract, recipe)))
    histogram, pool = graph.add_many("Split", [counts, widths], outputs=2, axis=1)
    parts = [NUMBERS, *_divided(graph, contract, recipe), _shapes(graph, recipe, histogram), pool]
    graph.name(graph.add("Concat", *parts, axis=1), FEATURES)
    return graph


def _divided(graph: GraphWriter, contract: Contract, recipe: Recipe) -> list[str]:
    """Return the ratios, if there are any."""
    if not recipe.ratios:
        return []
    above, below = (
        graph.add("Gather", NUMBERS, graph.ints(*map(contract.numbers.index, names)), axis=1)
        for names in zip(*((ratio.above, ratio.below) for ratio in recipe.ratios), strict=True)
    )
    return [graph.add("Div", above, below)]


@cache
def feature_model(contract: Contract) -> onnx.ModelProto:
    """Return the graph from inputs to features as a model of its own."""
    output = tensor(FEATURES, FLOAT, ["N", len(feature_specs(contract))])
    return model([write_features(contract)], feature_inputs(contract), [output], {})


Grams = dict[tuple[int, ...], int]  # tokens of a string → its column


def _histogram_grams(recipe: Recipe) -> Grams:
    fields, bytes_ = range(len(recipe.histograms)), range(1, 0xFF)
    return {(TOKENS * field + byte,): ATOMS * field + _atom(byte) for field in fields for byte in bytes_}


def _pool_grams(contract: Contract, recipe: Recipe) -> Grams:
    numbers = {text.name: number for number, text in enumerate(contract.texts)}
    folded = {text.name: text.is_folded for text in contract.texts}
    grams: Grams = {}
    first = len(recipe.histograms) * ATOMS
    for column, spec in enumerate(_pool_specs(contract, recipe), start=first):
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


def _shapes(graph: GraphWriter, recipe: Recipe, histogram: str) -> str:
    """Return the shares and the sameness of each histogram text; NaN for a text without bytes."""
    fields, classes = len(recipe.histograms), len(recipe.classes)
    atoms = graph.add("Reshape", histogram, graph.ints(-1, fields, ATOMS))
    counts = graph.add("MatMul", atoms, graph.constant(_class_table(recipe.classes)))
    total = graph.add("MatMul", atoms, graph.constant(np.ones((ATOMS, 1), dtype=np.float32)))
    roots = graph.add("ReduceL2", atoms, graph.ints(2), keepdims=1)  # of whole numbers: rounded once, like a division
    shares = graph.add("Div", graph.add("Concat", counts, roots, axis=2), total)
    return graph.add("Reshape", shares, graph.ints(-1, fields * (classes + 1)))


def _atom(byte: int) -> int:
    if 0x20 <= byte < 0x7F:
        return byte - 0x20
    return _HIGH_ATOM if byte >= 0x80 else _CONTROL_ATOM


def _class_table(classes: tuple[ByteClass, ...]) -> NDArray[np.float32]:
    table = np.zeros((ATOMS, len(classes)), dtype=np.float32)
    for column, byte_class in enumerate(classes):
        table[[_atom(byte) for byte in sorted(byte_class.members)], column] = 1
    return table
