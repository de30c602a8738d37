"""Pictures of the store's pages, as geometry that a template writes into SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from models_registry.services.boards import Bar

WIDTH, HEIGHT = 400, 110


@dataclass(frozen=True, slots=True)
class Block:
    """One coloured piece of a bar."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """One bar of a histogram."""

    x: float
    width: float
    bar: Bar
    high: float
    blocks: tuple[Block, ...]


def columns(bars: Sequence[Bar]) -> list[Column]:
    """Return stacked columns; heights are logarithmic in all sessions of a bar, so that single ones can be seen."""
    tallest = max((math.log1p(bar.total) for bar in bars), default=0.0) or 1.0
    width = WIDTH / len(bars)
    return [
        Column(round(n * width, 2), round(width - 1, 2), bar, bar.low + 1 / len(bars), _blocks(bar, tallest))
        for n, bar in enumerate(bars)
    ]


def _blocks(bar: Bar, tallest: float) -> tuple[Block, ...]:
    if not bar.total:
        return ()
    height = HEIGHT * math.log1p(bar.total) / tallest
    blocks, y = [], float(HEIGHT)
    for kind, count in (("clean", bar.clean), ("hit", bar.hit), ("uninspected", bar.not_inspected)):
        part = height * count / bar.total
        y -= part
        blocks.append(Block(kind, round(y, 2), round(part, 2)))
    return tuple(blocks)
