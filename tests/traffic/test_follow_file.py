"""A file that grows, followed through everything that rotates logs."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from traffic.services.streams import Position, StreamPolicy
from traffic.services.streams.followed_file import FollowedFile

POLICY = StreamPolicy(poll_seconds=0, rotated_seconds=0)


class Follower:
    """A followed file whose reader may be restarted at any time."""

    def __init__(self, path: Path, policy: StreamPolicy = POLICY) -> None:
        self.path, self.policy = path, policy
        self.position: Position | None = None
        self.lines: list[bytes] = []
        self.restart()

    def restart(self) -> None:
        self.file = FollowedFile(self.path, "test", self.policy)

    def read(self, turns: int = 6) -> list[bytes]:
        """Take what is there; return what was new."""
        before = len(self.lines)
        for _ in range(turns):
            batch = self.file.take(self.position)
            if batch is not None:
                self.lines += batch.lines
                self.position = batch.position
        return self.lines[before:]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "eve.json"


def add(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)
    time.sleep(0.005)  # the kernel tells times of change in steps of 4 ms


@pytest.fixture(params=[False, True], ids=["running", "restarted"])
def restarts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_lines_come_once_as_they_are_written(path: Path) -> None:
    follower = Follower(path)
    assert follower.read() == []  # no file yet
    add(path, b"one", b"two")
    assert follower.read() == [b"one", b"two"]
    with path.open("ab") as file:
        file.write(b"th")
    assert follower.read() == []  # half a line
    add(path, b"ree")
    assert follower.read() == [b"three"]
    assert follower.file.lag() == 0
    add(path, b"four")
    assert follower.file.lag() == 5
    follower.restart()
    assert follower.read() == [b"four"]


def test_renamed(path: Path, restarts: bool) -> None:
    follower = Follower(path)
    add(path, b"one")
    follower.read()
    add(path, b"two")
    path.rename(path.with_name("eve.json.1"))
    add(path.with_name("eve.json.1"), b"three, written after the renaming")
    add(path, b"four")
    if restarts:
        follower.restart()
    assert follower.read() == [b"two", b"three, written after the renaming", b"four"]
    assert follower.file.lag() == 0


def test_renamed_several_times_while_nobody_read(path: Path) -> None:
    follower = Follower(path)
    add(path, b"one")
    follower.read()
    add(path, b"two")
    for number in range(3, 7):
        for older in range(9, 0, -1):
            if (found := path.with_name(f"eve.json.{older}")).exists():
                found.rename(path.with_name(f"eve.json.{older + 1}"))
        path.rename(path.with_name("eve.json.1"))
        add(path, b"%d" % number)
    follower.restart()
    assert follower.read(40) == [b"two", b"3", b"4", b"5", b"6"]


def test_copied_and_emptied(path: Path, restarts: bool) -> None:
    follower = Follower(path)
    add(path, b"one")
    follower.read()
    add(path, b"two")
    shutil.copyfile(path, path.with_name("eve.json.1"))
    assert follower.read() == [b"two"]  # the copy is there already, the file not emptied yet
    add(path, b"three")
    shutil.copyfile(path, path.with_name("eve.json.1"))
    os.truncate(path, 0)
    add(path, b"four, longer than everything there was before it")
    if restarts:
        follower.restart()
    assert follower.read() == [b"three", b"four, longer than everything there was before it"]


def test_emptied_without_a_copy(path: Path, restarts: bool) -> None:
    follower = Follower(path)
    add(path, b"one", b"two")
    follower.read()
    os.truncate(path, 0)
    add(path, b"three")
    if restarts:
        follower.restart()
    assert follower.read() == [b"three"]


def test_rotated_before_the_very_first_start_could_read_anything(path: Path) -> None:
    add(path, b"of long ago")
    path.rename(path.with_name("eve.json.1"))
    add(path, b"one")
    follower = Follower(path)
    follower.position = follower.file.beginning()  # kept by the first process, which died at once
    path.with_name("eve.json.1").rename(path.with_name("eve.json.2"))
    path.rename(path.with_name("eve.json.1"))
    add(path, b"two")
    follower.restart()
    assert follower.read() == [b"one", b"two"]


def test_a_file_that_is_not_there_at_the_very_first_start(path: Path) -> None:
    add(path.with_name("eve.json.1"), b"of long ago")
    follower = Follower(path)
    follower.position = follower.file.beginning()
    time.sleep(0.01)
    add(path, b"one")
    path.rename(path.with_name("eve.json.2"))
    add(path, b"two")
    assert follower.read() == [b"one", b"two"]


def test_gone_for_a_while(path: Path, restarts: bool) -> None:
    follower = Follower(path)
    add(path, b"one")
    follower.read()
    add(path, b"two")
    path.rename(path.with_name("eve.json-20260301"))
    if restarts:
        follower.restart()
    assert follower.read() == [b"two"]
    assert follower.read() == []
    add(path, b"three")
    assert follower.read() == [b"three"]


def test_an_inode_that_comes_again_is_another_file(path: Path) -> None:
    follower = Follower(path)
    add(path, b"one")
    follower.read()
    follower.file.close()
    follower.restart()
    inode = path.stat().st_ino
    path.unlink()
    add(path, b"two, whatever number its inode has")
    assert follower.position is not None
    follower.position["inode"] = path.stat().st_ino
    assert follower.read() == [b"two, whatever number its inode has"], inode


def test_packed_and_foreign_files_beside_it_are_ignored(path: Path) -> None:
    follower = Follower(path)
    add(path, b"one")
    follower.read()
    path.rename(path.with_name("eve.json.1"))
    (path.with_name("eve.json.2.gz")).write_bytes(gzip.compress(b"old\n"))
    add(path.with_name("eve.json.bak"), b"somebody's copy")
    add(path.with_name("eve.json-notes"), b"somebody's notes")
    add(path, b"two")
    assert follower.read() == [b"two"]


def test_packed_before_its_end_was_read_goes_on_with_what_came_later(path: Path) -> None:
    follower = Follower(path)
    add(path, b"one")
    follower.read()
    path.with_name("eve.json.2.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    add(path.with_name("eve.json.1"), b"two")
    add(path, b"three")
    follower.restart()
    assert follower.read() == [b"two", b"three"]


def test_a_last_line_without_end_is_handed_over_when_its_file_was_left(path: Path) -> None:
    follower = Follower(path)
    add(path, b"one")
    with path.open("ab") as file:
        file.write(b"torn by a kil")
    follower.read()
    path.rename(path.with_name("eve.json.1"))
    add(path, b"two")
    assert follower.read() == [b"torn by a kil", b"two"]


def test_what_could_not_be_kept_is_handed_over_again(path: Path) -> None:
    follower = Follower(path)
    add(path, b"one")
    assert follower.file.take(None) is not None
    assert follower.read() == [b"one"]
    add(path, b"two")
    assert follower.file.take(follower.position) is not None
    assert follower.read() == [b"two"]


def test_a_renamed_file_is_left_only_when_it_was_quiet_for_a_while(path: Path) -> None:
    now = [0.0]
    follower = Follower(path)
    follower.file = FollowedFile(path, "test", StreamPolicy(poll_seconds=0, rotated_seconds=5), clock=lambda: now[0])
    add(path, b"one")
    assert follower.read() == [b"one"]
    path.rename(path.with_name("eve.json.1"))
    add(path, b"three")
    assert follower.read() == []
    now[0] = 4
    add(path.with_name("eve.json.1"), b"two")
    assert follower.read() == [b"two"]
    now[0] = 8
    assert follower.read() == []
    now[0] = 10
    assert follower.read() == [b"three"]


def test_a_line_beyond_all_measure_comes_in_pieces_and_the_next_one_whole(path: Path) -> None:
    policy = StreamPolicy(poll_seconds=0, rotated_seconds=0, batch_bytes=1 << 10, line_bytes=4 << 10)
    follower = Follower(path, policy)
    add(path, b"x" * 40_000, b"next")
    assert follower.read(20)[-1] == b"next"
    assert b"".join(follower.lines[:-1]) == b"x" * 40_000
    add(path, b"y" * 3_000)
    assert follower.read() == [b"y" * 3_000]


@pytest.mark.parametrize("seed", range(8))
def test_any_mixture_of_writing_rotating_and_restarting_gives_every_line_once(path: Path, seed: int) -> None:
    choice = random.Random(seed)
    copies = seed % 2
    follower = Follower(path)
    add(path, b"line 0 of this log")  # what was rotated before the very first start is not ours
    follower.read()
    number = 1
    for _ in range(120):
        deed = choice.choice(["write", "write", "read", "restart", "rotate"])
        if deed == "write":
            count = choice.randrange(1, 5)
            add(path, *(b"line %d of this log" % n for n in range(number, number + count)))
            number += count
        elif deed == "read":
            follower.read(choice.randrange(1, 4))
        elif deed == "restart":
            follower.restart()
        elif path.exists() and path.stat().st_size:
            beside = [int(one.suffix[1:]) for one in path.parent.glob("eve.json.*")]
            for older in sorted(beside, reverse=True):
                path.with_name(f"eve.json.{older}").rename(path.with_name(f"eve.json.{older + 1}"))
            if copies:
                shutil.copyfile(path, path.with_name("eve.json.1"))
                os.truncate(path, 0)
                time.sleep(0.005)
            else:
                path.rename(path.with_name("eve.json.1"))
    follower.read(400)
    assert follower.lines == [b"line %d of this log" % n for n in range(number)]
