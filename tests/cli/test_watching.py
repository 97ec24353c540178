"""The watcher tells of other content, however the file got it."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ai_gateway_mw.cli.watching import Watcher, content

PATIENCE = 10.0
Watched = Callable[[Path], "queue.SimpleQueue[bytes | None]"]


@pytest.fixture
def watched() -> Iterator[Watched]:
    """Watch a file; a queue of what was in it each time the watcher told of something."""
    watchers = []

    def watch(file: Path) -> queue.SimpleQueue[bytes | None]:
        told: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        watcher = Watcher(file, content(file), lambda: told.put(content(file)), look_anyway=0.2)
        watcher.start()
        watchers.append(watcher)
        return told

    yield watch
    for watcher in watchers:
        watcher.stop()


def _written(file: Path) -> None:
    file.write_bytes(b"new")


def _replaced(file: Path) -> None:
    draft = file.with_name(".draft")
    draft.write_bytes(b"new")
    draft.replace(file)


def _deleted_and_made(file: Path) -> None:
    file.unlink()
    file.write_bytes(b"new")


@pytest.mark.parametrize("change", [_written, _replaced, _deleted_and_made], ids=lambda change: change.__name__)
def test_a_file_is_changed(tmp_path: Path, watched: Watched, change: Callable[[Path], None]) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"old")
    told = watched(file)
    change(file)
    assert told.get(timeout=PATIENCE) == b"new"


def test_a_kubernetes_mount_moves_to_another_directory(tmp_path: Path, watched: Watched) -> None:
    """`policy.yaml` leads to `..data/policy.yaml`, and `..data` to a directory of one version."""
    for version in ("old", "new"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "policy.yaml").write_bytes(version.encode())
    (tmp_path / "..data").symlink_to("..old")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    told = watched(tmp_path / "policy.yaml")
    (tmp_path / "..data_tmp").symlink_to("..new")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert told.get(timeout=PATIENCE) == b"new"
    (tmp_path / "..new" / "policy.yaml").write_bytes(b"newer")
    assert told.get(timeout=PATIENCE) == b"newer"


def test_a_link_above_the_file_moves(tmp_path: Path, watched: Watched) -> None:
    for version in ("old", "new"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "policy.yaml").write_bytes(version.encode())
    (tmp_path / "current").symlink_to("old")
    told = watched(tmp_path / "current" / "policy.yaml")
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(tmp_path / "current")
    assert told.get(timeout=PATIENCE) == b"new"


def test_its_directory_goes_and_comes(tmp_path: Path, watched: Watched) -> None:
    file = tmp_path / "policies" / "policy.yaml"
    file.parent.mkdir()
    file.write_bytes(b"old")
    told = watched(file)
    file.unlink()
    file.parent.rmdir()
    assert told.get(timeout=PATIENCE) is None
    file.parent.mkdir()
    file.write_bytes(b"new")
    assert told.get(timeout=PATIENCE) == b"new"


def test_what_happened_before_it_began_is_not_missed(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"new")
    told: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    watcher = Watcher(file, b"old", lambda: told.put(content(file)), look_anyway=0.2)
    watcher.start()
    try:
        assert told.get(timeout=PATIENCE) == b"new"
    finally:
        watcher.stop()


def test_other_files_and_new_time_stamps_are_nothing(tmp_path: Path, watched: Watched) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"old")
    told = watched(file)
    os.utime(file)
    (tmp_path / "other.yaml").write_bytes(b"other")
    file.write_bytes(b"new")
    assert told.get(timeout=PATIENCE) == b"new"
    assert told.empty()
