"""Times at the command line: dates, times with a zone, and durations that count from now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from typer import BadParameter

from ai_gateway_mw.policy import long_seconds

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*")
_EXPECTED: Final = (
    "a date such as 2027-01-31, a time with its zone such as 2027-01-31T12:00:00Z, or a duration: 90d, 24h"
)
_AS_SHOWN: Final = "%Y-%m-%d %H:%M UTC"
_TO_THE_SECOND: Final = "%Y-%m-%d %H:%M:%S UTC"


def now() -> datetime:
    return datetime.now(UTC)


def ahead(text: str) -> datetime:
    """`90d` from now, or the time that is given; a date is its first moment, in UTC."""
    return _moment(text, 1)


def ago(text: str) -> datetime:
    """The same with durations that reach back from now."""
    return _moment(text, -1)


def span(text: str) -> timedelta:
    """A duration: `24h`, `7d`, `0`."""
    try:
        return timedelta(seconds=long_seconds(text.strip()))
    except ValueError as error:
        raise BadParameter(f"`{text}` is no duration; it is written as {error}") from None


def shown(moment: datetime | None, *, none: str = "-", seconds: bool = False) -> str:
    """A time as tables show it."""
    return none if moment is None else moment.astimezone(UTC).strftime(_TO_THE_SECOND if seconds else _AS_SHOWN)


def _moment(text: str, direction: int) -> datetime:
    text = text.strip()
    try:
        if not _DATE.fullmatch(text):
            return now() + direction * timedelta(seconds=long_seconds(text))
        found = datetime.fromisoformat(text)
        if len(text) > len("2027-01-31") and found.tzinfo is None:
            raise BadParameter(f"`{text}` has no time zone; write {text}Z for UTC")
    except (ValueError, OverflowError):
        raise BadParameter(f"`{text}` is none of: {_EXPECTED}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
