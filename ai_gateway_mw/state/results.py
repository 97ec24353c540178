"""What a finished attempt counts as in the record of its key and of its model."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Result(StrEnum):
    """How an attempt ended, seen from the key that it used. What is nobody's fault is not recorded at all."""

    OK = "ok"
    CLIENT_FAULT = "client_fault"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    KEY_REJECTED = "key_rejected"
    QUOTA_EXHAUSTED = "quota_exhausted"


class Count(IntEnum):
    """A counter of attempts; the number is its place in a window."""

    SAMPLE = 0  # a success, or a failure that says something about the key: what rates are fractions of
    TOTAL = 1
    RATE_LIMIT = 2
    TIMEOUT = 3
    SERVER = 4
    CLIENT = 5


_FAILED = (Count.SAMPLE, Count.TOTAL)

COUNTS: dict[Result, tuple[Count, ...]] = {
    Result.OK: (Count.SAMPLE,),
    Result.CLIENT_FAULT: (Count.CLIENT,),  # bad requests must not make a shared key look broken
    Result.RATE_LIMITED: (*_FAILED, Count.RATE_LIMIT),
    Result.TIMEOUT: (*_FAILED, Count.TIMEOUT),
    Result.SERVER_ERROR: (*_FAILED, Count.SERVER),
    Result.UNREACHABLE: _FAILED,
    Result.KEY_REJECTED: _FAILED,
    Result.QUOTA_EXHAUSTED: _FAILED,
}
"""Which counters a result moves."""

_ENOUGH = 10


def rate(part: int, whole: int) -> float:
    """A fraction, or 0.0 while there are too few samples to believe one."""
    return part / whole if whole >= _ENOUGH else 0.0
