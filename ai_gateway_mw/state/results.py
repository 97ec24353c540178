"""What a finished attempt counts as in the record of its key and of its model."""

from __future__ import annotations

from enum import StrEnum


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
    SERVER_TIMEOUT = "server_timeout"
    FAILED = "failed"


# Counters of attempts, by their places in a window. Plain numbers: an enumeration's members are slow to count with.
SAMPLE = 0  # a success, or a failure that says something about the key: what rates are fractions of
TOTAL = 1
RATE_LIMIT = 2
TIMEOUT = 3
SERVER = 4
CLIENT = 5
KINDS = 6

_FAILED = (SAMPLE, TOTAL)

COUNTS: dict[Result, tuple[int, ...]] = {
    Result.OK: (SAMPLE,),
    Result.CLIENT_FAULT: (CLIENT,),  # bad requests must not make a shared key look broken
    Result.RATE_LIMITED: (*_FAILED, RATE_LIMIT),
    Result.TIMEOUT: (*_FAILED, TIMEOUT),
    Result.SERVER_ERROR: (*_FAILED, SERVER),
    Result.UNREACHABLE: _FAILED,
    Result.KEY_REJECTED: _FAILED,
    Result.QUOTA_EXHAUSTED: _FAILED,
    Result.SERVER_TIMEOUT: (*_FAILED, TIMEOUT, SERVER),  # the provider's own, told by a 504
    Result.FAILED: _FAILED,
}
"""Which counters a result moves."""

ENOUGH = 10


def rate(part: int, whole: int) -> float:
    """A fraction, or 0.0 while there are too few samples to believe one."""
    return part / whole if whole >= ENOUGH else 0.0
