"""Reads a small text file that holds secrets: bounded, UTF-8, and never shown when something is wrong with it."""

from __future__ import annotations

import errno
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from ai_gateway_mw.errors import SecretUnusable

MAX_FILE: Final = 1024 * 1024


def text_of(path: Path) -> str | None:
    """The file's text, or None where there is no such file (or it is a directory). Raises `SecretUnusable`."""
    try:
        data = _bytes_of(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SecretUnusable(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise SecretUnusable(f"{path} is larger than 1 MiB")
    with suppress(UnicodeDecodeError):  # that error carries the bytes
        return data.decode("utf-8-sig")
    raise SecretUnusable(f"{path} is not UTF-8 text")


def _bytes_of(path: Path) -> bytes:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode) or stat.S_ISCHR(mode):  # /dev/null is how people say "no file"
        raise FileNotFoundError
    if not stat.S_ISREG(mode):  # opening a named pipe would hold up the whole process
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        return file.read(MAX_FILE + 1)
