"""How `run` logs: lines on stderr, without control characters and without any secret that was handed out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ai_gateway_mw.visible import visible


class Lines(logging.Formatter):
    """Time in UTC, level, logger and message; then the traceback, if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.redact: Callable[[str], str] = str

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        return visible(self.redact(super().format(record)))


def log_config(*, requests: bool) -> dict[str, Any]:
    """For `logging.config.dictConfig`, in this process and in those that uvicorn starts."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": f"{__name__}.Lines"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
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
