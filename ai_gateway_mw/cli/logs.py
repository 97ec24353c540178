"""How `run` logs: lines on stderr, without control characters and without any secret that was handed out."""

from __future__ import annotations

import logging
import select
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from ai_gateway_mw.visible import visible

_PATIENCE: Final = 100  # milliseconds that a line waits for room, unless the one before found none
_PIECE: Final = select.PIPE_BUF  # bytes that a pipe with room takes at one go, unmixed with those of another process
_LONGEST: Final = 4  # bytes of a character


class Lines(logging.Formatter):
    """Time in UTC, level, logger and message; then the traceback, if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.redact: Callable[[str], str] = str

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        return visible(self.redact(super().format(record)))


class StandardError(logging.StreamHandler[TextIO]):
    """Standard error, for which nobody waits: a reader that stands still would hold up every request, and the end. What
    finds no room is left out, and counted."""

    def __init__(self) -> None:
        super().__init__()
        self._left_out = 0
        self._is_cut = False  # the last line that was written

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)

    def _write(self, text: str) -> None:
        if self._left_out:
            end = "\n" if self._is_cut else ""
            text = f"{end}(log records left out, since nobody read them: {self._left_out})\n{text}"
        piece = _PIECE if text.isascii() else _PIECE // _LONGEST
        for at in range(0, len(text), piece):
            if not self._has_room():
                self._left_out += 1
                self._is_cut |= at > 0
                return
            self.stream.write(text[at : at + piece])
            self.stream.flush()
        self._left_out, self._is_cut = 0, False

    def _has_room(self) -> bool:
        try:
            number = self.stream.fileno()
        except (OSError, ValueError):  # no file
            return True
        poll = select.poll()
        poll.register(number, select.POLLOUT)
        return bool(poll.poll(0 if self._left_out else _PATIENCE))


def log_config(*, requests: bool) -> dict[str, Any]:
    """For `logging.config.dictConfig`, in this process and in those that uvicorn starts."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": f"{__name__}.Lines"}},
        "handlers": {"stderr": {"()": f"{__name__}.StandardError", "formatter": "lines"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "ai_gateway_mw": {"level": "INFO"},
            "ai_gateway_mw.requests": {"level": "INFO" if requests else "WARNING"},
        },
    }


def redact_logs(redact: Callable[[str], str]) -> None:
    """From now on, what is logged goes through `redact`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, Lines):
            handler.formatter.redact = redact
