"""New files that only their owner reads, and that are there complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def appearing(path: Path, *, random: Callable[[int], bytes] = os.urandom) -> Iterator[Path]:
    """A draft to be written within the block, which then becomes `path`; a file that is already there stays.

    Of two processes that do this at once, both go on with the same file.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.{random(8).hex()}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        yield draft
        with suppress(FileExistsError):
            os.link(draft, path)
        _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    """The name of a new file lasts only once its directory is on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
