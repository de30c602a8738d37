"""The spool: whole or not at all, whatever a crash leaves of its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from traffic.services.streams import spool as spool_module
from traffic.services.streams.spool import Spool, SpoolInUseError


def lines_of(spool: Spool) -> list[bytes]:
    return [line for window in spool.closed for block in window.blocks() for line in block]


def test_what_was_appended_is_there_after_a_restart_with_its_position(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append([b"one", b"two"], {"at": 1})
        token = spool.token
    with Spool(tmp_path) as spool:
        assert (spool.position, spool.lines, spool.token) == ({"at": 1}, 2, token)
        spool.append([b"three"], {"at": 2})
        assert (spool.first_line, spool.last_line) == (b"one", b"three")
        spool.close_window()
        assert lines_of(spool) == [b"one", b"two", b"three"]


def test_whatever_a_crash_cut_off_is_cut_to_the_last_whole_batch(tmp_path: Path) -> None:
    with Spool(tmp_path / "0") as spool:
        spool.append([b"one"], {"at": 1})
        file = next((tmp_path / "0").glob("*.open"))
        whole = file.stat().st_size
        spool.append([b"two" * 100], {"at": 2})
        data = file.read_bytes()
    for length in range(whole, len(data)):
        folder = tmp_path / f"cut-{length}"
        folder.mkdir()
        (folder / file.name).write_bytes(data[:length] + (b"\0" * 9 if length % 2 else b""))
        with Spool(folder) as spool:
            assert spool.position == {"at": 1}
            spool.append([b"two again"], {"at": 2})
            spool.close_window()
            assert lines_of(spool) == [b"one", b"two again"]


def test_a_file_of_which_nothing_is_whole_is_as_if_it_had_never_been(tmp_path: Path) -> None:
    (tmp_path / "0000000001.open").write_bytes(b'{"bytes":4')
    with Spool(tmp_path) as spool:
        assert (spool.position, spool.lines) == (None, 0)
        spool.append([b"one"], {"at": 1})
        spool.close_window()
        assert [window.number for window in spool.closed] == [1]


def test_a_full_disk_leaves_nothing_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(file: Any, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with Spool(tmp_path) as spool:
        spool.append([b"one"], {"at": 1})
        with monkeypatch.context() as broken:
            broken.setattr(spool_module, "_write", half)
            with pytest.raises(OSError, match="No space"):
                spool.append([b"two"], {"at": 2})
        assert spool.position == {"at": 1}
        spool.append([b"two"], {"at": 2})
        spool.close_window()
        assert lines_of(spool) == [b"one", b"two"]


def test_equal_windows_have_different_names_and_one_has_the_same_for_ever(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        for _ in range(2):
            spool.append([b"same"], {"at": 1})
            spool.close_window()
        names = [spool.digest(window) for window in spool.closed]
        assert len(set(names)) == 2
    with Spool(tmp_path) as spool:
        assert [spool.digest(window) for window in spool.closed] == names
    with Spool(tmp_path / "other") as spool:
        spool.append([b"same"], {"at": 1})
        spool.close_window()
        assert spool.digest(spool.closed[0]) not in names


def test_numbers_go_on_after_a_restart_and_positions_survive_silence(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append([b"one"], {"at": 1})
        for _ in range(3):
            spool.close_window()
        assert spool.empty_windows == 2
        spool.drop_before(2)
    with Spool(tmp_path) as spool:
        assert (spool.position, [window.number for window in spool.closed]) == ({"at": 1}, [2, 3])
        spool.append([b"two"], {"at": 2})
        spool.close_window()
        assert (spool.closed[-1].number, spool.empty_windows) == (4, 0)


def test_an_empty_spool_closes_no_window(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.close_window()
        assert spool.closed == []


def test_lines_that_another_consumer_answers_for_are_left_out(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append([b"a", b"b", b"c"], {"ids": ["1-0", "2-0", "3-0"]})
        spool.lose(["2-0"])
        spool.append([b"d"], {"ids": ["4-0"]})
        spool.close_window()
        assert lines_of(spool) == [b"a", b"c", b"d"]


def test_a_damaged_window_gives_what_is_whole_and_is_kept_aside(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        for number in range(3):
            spool.append([b"line %d" % number], {"at": number})
        spool.close_window()
        (window,) = spool.closed
        data = bytearray(window.path.read_bytes())
        data[-2] ^= 1
        window.path.write_bytes(data)
        assert lines_of(spool) == [b"line 0", b"line 1"]
        assert window.problem
        spool.drop_before(2)
        assert [path.suffix for path in tmp_path.glob("0*")] == [".damaged"]


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with Spool(tmp_path), pytest.raises(SpoolInUseError), Spool(tmp_path):
        pass
    with Spool(tmp_path):
        assert os.listdir(tmp_path)
