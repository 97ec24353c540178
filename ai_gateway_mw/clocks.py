"""The clock on the wall, as services take it; tests hand in one that they move by hand."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
