"""One session a call: what an appliance runs for every answer, and what latency receipts measure.

The same bits as `contract.encode` and a plain run; the arrays of inputs and answers are written in place and bound to
the runtime once. Needs numpy and onnxruntime only."""

from __future__ import annotations

import struct
from codecs import charmap_decode, utf_32_le_encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from detection.contract import NUMBERS, TEXT, TOKENS, Contract, TextInput, floats, window
from detection.derived import Derived
from detection.onnx_reader import part_for
from detection.scoring import open_session
from detection.sessions import Row

NAN = float("nan")
SEEN_TEXTS = 2048  # of a column that one answer after another meets again; then they are forgotten
LONGEST_CODED = 256  # characters of a text that is kept for its derived numbers
_UNLIKE = frozenset({"uri", "uri_decoded", "referer"})  # differ from session to session: not worth keeping
_INT32, _FLOAT32 = np.dtype("<i4"), np.dtype("=f4")
_PADDING = "\0"  # a session without any text has one token, 0
Piece = tuple[str, bytes, bool]  # of a text: a character per token, its true length as float32, whether it was cut


class RowWriter:
    """Writes one session after another into the same two arrays. Not for two threads at once."""

    def __init__(self, contract: Contract) -> None:
        tokens = bytearray(4 * max(sum(text.limit for text in contract.texts), 1))
        self._tokens, self._token_bytes = np.frombuffer(tokens, _INT32), memoryview(tokens)
        self.numbers = np.zeros((1, len(contract.numbers)), _FLOAT32)
        self._number_bytes = self.numbers.data.cast("B")
        pairs, by_column = _derived(contract)
        self._columns = contract.columns
        self._pairs: list[tuple[Callable[..., float], str, str]] = [
            (one.of, one.columns[0], one.columns[1]) for one in pairs
        ]
        self._floats = partial(_floats, struct.Struct(f"{len(contract.columns) + len(pairs)}f").pack)
        self._coded = [(column, _Codes(ways)) for column, ways in by_column.items()]
        self._texts = [(text.column, _Pieces(number, text)) for number, text in enumerate(contract.texts)]
        self._no_cuts = bytes(4 * len(contract.texts))
        self._order = _order(contract, [*pairs, *chain.from_iterable(by_column.values())])

    def write(self, row: Row) -> int:
        """Write a session; return how many tokens it has, 1 at least."""
        known = [NAN if (value := row[column]) is None else value for column in self._columns]
        for of, first, second in self._pairs:
            known.append(of(row[first], row[second]))
        numbers = self._floats(known)
        for column, codes in self._coded:
            numbers += codes[row[column]]
        tokens, cuts = "", self._no_cuts
        for column, pieces in self._texts:
            text, length, was_cut = pieces[row[column]]
            tokens += text
            numbers += length
            if was_cut:
                cuts = cuts[: pieces.at] + _YES + cuts[pieces.at + 4 :]
        self._number_bytes[:] = numbers + cuts
        if self._order is not None:
            self.numbers[0] = self.numbers[0, self._order]
        data, size = utf_32_le_encode(tokens or _PADDING)
        self._token_bytes[: 4 * size] = data
        return size

    def tokens(self, size: int) -> NDArray[np.int32]:
        """Return the first tokens that were written, as the runtime reads them: a view, not a copy."""
        return self._tokens[:size].reshape(1, size)

    def feed(self, row: Row) -> dict[str, NDArray[Any]]:
        """Return a session for a plain run, until the next one is written."""
        return {TEXT: self.tokens(self.write(row)), NUMBERS: self.numbers}


class _Pieces(dict[str | None, Piece]):
    """What the texts of a column give, made at the first look; texts that come again are kept, long ones never."""

    def __init__(self, number: int, text: TextInput) -> None:
        super().__init__()
        self.at = 4 * number  # where its flag lies among those of the cut texts
        self._limit, self._is_unlike = text.limit, text.column in _UNLIKE
        self._table = "".join(chr(TOKENS * number + byte) for byte in text.table)

    def __missing__(self, value: str | None) -> Piece:
        if value is None:
            piece = "", _MISSING, False
        else:
            data = value.encode() if value.isascii() else value.encode("utf-8", "surrogatepass")
            size = len(data)
            was_cut = size > self._limit
            if was_cut:
                data = window(data, self._limit)
            piece = charmap_decode(data, "strict", self._table)[0], _float(size), was_cut
            if was_cut or (self._is_unlike and size):
                return piece
        _make_room(self)
        self[value] = piece
        return piece


class _Codes(dict[str | None, bytes]):
    """The numbers that are derived from the texts of a column, made and kept likewise."""

    def __init__(self, ways: Sequence[Derived]) -> None:
        super().__init__()
        self._ways: list[Callable[..., float]] = [one.of for one in ways]
        self._pack = struct.Struct(f"{len(ways)}f").pack

    def __missing__(self, value: str | None) -> bytes:
        numbers = _floats(self._pack, [of(value) for of in self._ways])
        if len(value or "") <= LONGEST_CODED:
            _make_room(self)
            self[value] = numbers
        return numbers


def _make_room(seen: dict[str | None, Any]) -> None:
    if len(seen) >= SEEN_TEXTS:
        seen.clear()


def _floats(pack: Callable[..., bytes], values: Sequence[Any]) -> bytes:
    try:
        return pack(*values)
    except struct.error:  # an integer beyond every float
        with np.errstate(over="ignore"):
            return floats(values).astype(_FLOAT32).tobytes()


_float = struct.Struct("f").pack
_MISSING, _YES = _float(NAN), _float(1)


def _derived(contract: Contract) -> tuple[list[Derived], dict[str, list[Derived]]]:
    """Return the derived numbers of two columns, and those of one text alone by its column."""
    by_column: dict[str, list[Derived]] = {}
    for one in contract.derived:
        if len(one.columns) == 1:
            by_column.setdefault(one.columns[0], []).append(one)
    return [one for one in contract.derived if len(one.columns) == 2], by_column


def _order(contract: Contract, written: Sequence[Derived]) -> list[int] | None:
    """Return from where each number comes if derived ones are written in another order than the contract's."""
    names = [*contract.columns, *(one.name for one in written)]
    names += contract.numbers[len(names) :]
    return None if tuple(names) == contract.numbers else [names.index(name) for name in contract.numbers]


def open_answers(bundle: bytes, *answers: str) -> Any:
    """Return a session of what these answers need of a bundle, silent models off for good.

    The runtime computes all that its file holds, whatever it is asked for (decision 75)."""
    return open_session(part_for(bundle, answers, fixed=("run_silent",)), single_rows=True)


class BoundRows:
    """A runtime session whose inputs are a writer's arrays and whose answers go into arrays of its own."""

    def __init__(
        self,
        session: Any,
        writer: RowWriter,
        answers: Mapping[str, NDArray[Any]],
        constants: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self._session, self._writer, self._answers = session, writer, dict(answers)
        self._constants = {NUMBERS: writer.numbers, **(constants or {})}
        self._runs: dict[int, Callable[[], None]] = {}  # by size: at most one per token that the contract lets in

    def run(self, row: Row) -> None:
        """Answer about one session."""
        size = self._writer.write(row)
        run = self._runs.get(size)
        if run is None:
            run = self._runs[size] = self._bound(size)
        run()

    def _bound(self, size: int) -> Callable[[], None]:
        """Return a run over so many tokens; binding them anew before each would take longer than a node."""
        binding = self._session.io_binding()
        for name, array in self._answers.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in {TEXT: self._writer.tokens(size), **self._constants}.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))  # on a CPU no copy
        # the runtime itself: its Python wrappers check names that never change here
        return partial(self._session._sess.run_with_iobinding, binding._iobinding, None)
