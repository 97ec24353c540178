"""Log lines: one form, no secrets, no control characters."""

from __future__ import annotations

import logging
import logging.config
import os
from collections.abc import Iterator

import pytest

from ai_gateway_mw.cli.logs import Lines, StandardError, log_config, redact_logs
from ai_gateway_mw.secrets import MemorySource, SecretStore

_LOGGERS = ("ai_gateway_mw", "ai_gateway_mw.requests")


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers), root.level, {name: logging.getLogger(name).level for name in _LOGGERS}
    # Libraries that other tests load may have switched logging off, as a whole or logger by logger.
    off = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    for name in ("ai_gateway_mw.requests", "ai_gateway_mw.log"):
        logging.getLogger(name).disabled = False
    yield
    logging.disable(off)
    root.handlers[:], levels = before[0], before[2]
    root.setLevel(before[1])
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    information = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("ai_gateway_mw.x", logging.WARNING, __file__, 1, message, arguments, information)
    made.created = 1_800_000_000.25
    return made


def test_time_level_logger_message(lines: Lines) -> None:
    text = lines.format(record("%s failed", "it"))
    assert text == "2027-01-15T08:00:00.250+00:00 WARNING ai_gateway_mw.x: it failed"


def test_control_characters_are_shown_as_codes(lines: Lines) -> None:
    assert lines.format(record("a\x1b[2Jb")).endswith("a\\x1b[2Jb")


def test_secrets_that_were_handed_out_are_taken_out_of_messages_and_tracebacks(lines: Lines) -> None:
    store = SecretStore([MemorySource({"openai": {"primary": "sk-do-not-show-this"}})])
    value = store.get("openai", "primary").reveal()
    lines.redact = store.redact
    text = lines.format(record("with %s", value, error=ValueError(f"header {value}")))
    assert value not in text
    assert text.count("[redacted]") == 2


@pytest.mark.usefixtures("untouched_logging")
@pytest.mark.parametrize("requests", [True, False])
def test_requests_are_logged_on_demand(requests: bool) -> None:
    logging.config.dictConfig(log_config(requests=requests))
    assert logging.getLogger("ai_gateway_mw.requests").isEnabledFor(logging.INFO) is requests
    assert logging.getLogger("ai_gateway_mw.log").isEnabledFor(logging.INFO)
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)  # it logs whole URLs


@pytest.mark.usefixtures("untouched_logging")
def test_redaction_reaches_the_handler_that_was_configured() -> None:
    logging.config.dictConfig(log_config(requests=False))
    redact_logs(lambda text: text.replace("secret", "***"))
    (handler,) = logging.getLogger().handlers
    assert handler.format(record("a secret")).endswith(": a ***")


def unread(lines: Lines, records: int, length: int) -> tuple[bytes, list[str]]:
    """What a pipe has taken of so many long records while nobody read it, and what stands there after one more."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "w") as writer:
        handler = StandardError()
        handler.setStream(writer)
        handler.setFormatter(lines)
        for number in range(records):
            handler.emit(record("%d %s", number, "x" * length))
        held = reader.read(2**20)
        handler.emit(record("and on"))
        return held, reader.read(2**20).decode().splitlines()


def test_nobody_waits_for_a_reader_that_stands_still(lines: Lines) -> None:
    held, (told, last) = unread(lines, records=2_000, length=90)
    whole = held.count(b"\n")
    assert held.endswith(b"x\n")
    assert told == f"(log records left out, since nobody read them: {2_000 - whole})"
    assert last.endswith("and on")


def test_what_follows_a_line_that_was_cut_off_begins_a_new_one(lines: Lines) -> None:
    held, (end, told, last) = unread(lines, records=20, length=10_000)
    whole = held.count(b"\n")
    assert held.endswith(b"x")
    assert end == ""
    assert told == f"(log records left out, since nobody read them: {20 - whole})"
    assert last.endswith("and on")
