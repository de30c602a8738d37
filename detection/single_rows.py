"""One session a call: what an appliance runs for every answer, and what latency receipts measure.

The same bits as `contract.encode` and a plain run; the arrays of inputs and answers are written in place and bound to
the runtime once. Needs numpy and onnxruntime only."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from detection.contract import NUMBERS, TEXT, Contract, TextInput, floats, window
from detection.derived import Derived
from detection.onnx_reader import part_for
from detection.scoring import open_session
from detection.sessions import Row

NAN = float("nan")
SEEN_TEXTS = 2048  # of a column that one answer after another meets again; then they are forgotten
LONGEST_CODED = 256  # characters of a text that is kept for its derived numbers
_UNLIKE = frozenset({"uri", "uri_decoded", "referer"})  # differ from session to session: not worth keeping
_INT32 = np.dtype("<i4")  # a token as four bytes: the byte, the number of its text, 0, 0
# of a text: its bytes as tokens, the second byte of each token, its true length, whether it was cut
Piece = tuple[bytes, bytes, float, float]
Numbers = tuple[float, ...]


class RowWriter:
    """Writes one session after another into the same two arrays. Not for two threads at once."""

    def __init__(self, contract: Contract) -> None:
        self._bytes = bytearray(4 * max(sum(text.limit for text in contract.texts), 1))
        self._tokens = np.frombuffer(self._bytes, _INT32)
        self.numbers = np.zeros((1, len(contract.numbers)), np.float32)
        self._numbers = self.numbers.data
        self._pack_numbers = struct.Struct(f"={len(contract.numbers)}f").pack_into
        self._columns = contract.columns
        self._pairs: list[tuple[Callable[..., float], str, str]] = [
            (one.of, one.columns[0], one.columns[1]) for one in contract.derived if len(one.columns) == 2
        ]
        self._coded: list[tuple[str, Callable[[str | None], Numbers], dict[str | None, Numbers]]] = [
            (column, partial(_numbers, [one.of for one in ways]), {}) for column, ways in _by_column(contract).items()
        ]
        self._in_order = _order(contract)
        self._texts = [_plan(number, text) for number, text in enumerate(contract.texts)]

    def write(self, row: Row) -> int:
        """Write a session; return how many tokens it has, 1 at least."""
        numbers = [NAN if (value := row[column]) is None else value for column in self._columns]
        if self._in_order is not None:
            numbers += self._in_order(self._found(row))
        texts, marks, cuts = [], [], []
        for column, piece_of, seen in self._texts:
            value = row[column]
            piece = None if seen is None else seen.get(value)
            if piece is None:
                piece = piece_of(value)
                if seen is not None and not piece[3]:  # long ones would fill the memory
                    if len(seen) >= SEEN_TEXTS:
                        seen.clear()
                    seen[value] = piece
            text, mark, length, cut = piece
            texts.append(text)
            marks.append(mark)
            numbers.append(length)
            cuts.append(cut)
        tokens = b"".join(texts) or b"\0"
        end = 4 * len(tokens)
        self._bytes[0:end:4], self._bytes[1:end:4] = tokens, b"".join(marks) or b"\0"
        try:
            self._pack_numbers(self._numbers, 0, *numbers, *cuts)
        except OverflowError:  # beyond float32
            with np.errstate(over="ignore"):
                self.numbers[0] = floats(numbers + cuts).astype(np.float32)
        return len(tokens)

    def _found(self, row: Row) -> list[float]:
        """Return the derived numbers: those of two columns, then those of one column after the other."""
        found = [of(row[first], row[second]) for of, first, second in self._pairs]
        for column, numbers_of, seen in self._coded:
            value = row[column]
            told = seen.get(value)
            if told is None:
                told = numbers_of(value)
                if len(value or "") <= LONGEST_CODED:  # others would fill the memory
                    if len(seen) >= SEEN_TEXTS:
                        seen.clear()
                    seen[value] = told
            found += told
        return found

    def tokens(self, size: int) -> NDArray[np.int32]:
        """Return the first tokens that were written, as the runtime reads them: a view, not a copy."""
        return self._tokens[:size].reshape(1, size)

    def feed(self, row: Row) -> dict[str, NDArray[Any]]:
        """Return a session for a plain run, until the next one is written."""
        return {TEXT: self.tokens(self.write(row)), NUMBERS: self.numbers}


def _by_column(contract: Contract) -> dict[str, list[Derived]]:
    """Return the numbers that are derived from one text alone, by its column."""
    found: dict[str, list[Derived]] = {}
    for one in contract.derived:
        if len(one.columns) == 1:
            found.setdefault(one.columns[0], []).append(one)
    return found


def _numbers(ways: Sequence[Callable[..., float]], value: str | None) -> Numbers:
    return tuple(of(value) for of in ways)


def _order(contract: Contract) -> Callable[[list[float]], Sequence[float]] | None:
    """Return what puts the derived numbers into the contract's order; None where there are none."""
    found = [one for one in contract.derived if len(one.columns) == 2]
    found += chain.from_iterable(_by_column(contract).values())
    places = [found.index(one) for one in contract.derived]
    return None if not places else itemgetter(*places) if len(places) > 1 else list


def _plan(number: int, text: TextInput) -> tuple[str, Callable[[str | None], Piece], dict[str | None, Piece] | None]:
    """Return the column of a text, how it becomes tokens, and a place for texts that were seen."""
    piece_of = partial(_piece, bytes((number,)) * text.limit, text)
    return text.column, piece_of, None if text.column in _UNLIKE else {}


def _piece(marks: bytes, text: TextInput, value: str | None) -> Piece:
    if not value:
        return b"", b"", NAN if value is None else 0.0, 0.0
    data = value.encode() if value.isascii() else value.encode("utf-8", "surrogatepass")
    length = len(data)
    if length <= text.limit:
        return data.translate(text.table), marks[:length], length, 0.0
    return window(data, text.limit).translate(text.table), marks, length, 1.0


def open_answers(bundle: bytes, *answers: str) -> Any:
    """Return a session of what these answers need of a bundle, silent models off for good.

    The runtime computes all that its file holds, whatever it is asked for (decision 76)."""
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
