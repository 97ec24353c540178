"""Writes small files so that no reader ever sees half of one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """The file with this text, in place of what was there; it appears complete or not at all. Raises `OSError`."""
    target = Path(os.path.realpath(file))  # a link goes on pointing there
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
