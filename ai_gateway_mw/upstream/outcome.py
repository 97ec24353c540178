"""What an upstream's status or failure means: for the next attempt, for what is learned of key, model and origin, and
for the caller. `docs/failover.md` shows this table to users."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

from ai_gateway_mw.errors import (
    ClientGone,
    ConnectTimeout,
    GatewayError,
    ModelNotFound,
    Overloaded,
    UpstreamAnswerInvalid,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamRedirected,
    UpstreamsExhausted,
    UpstreamTimeout,
    UpstreamTLSFailed,
    UpstreamUnreachable,
)
from ai_gateway_mw.state import Result


class Fault(Enum):
    """Whose fault it was."""

    NOBODY = "nobody"
    CLIENT = "client"
    KEY = "key"
    MODEL = "model"
    PROVIDER = "provider"
    GATEWAY = "gateway"


class Next(Enum):
    """What follows an outcome."""

    ANSWER = "the client gets this response, as it is"
    ANY_CANDIDATE = "the next candidate, whichever it is"
    OTHER_PROVIDER = "candidates of other providers, then this one's other keys"
    OTHER_HOST = "candidates of other providers only: this one's other keys meet the same closed door"
    STOP = "nothing: the answer has begun, or nobody is left to answer"


class Lesson(NamedTuple):
    """What is learned beyond the counts of the key.

    `works` is for the breaker of the origin, None where it says nothing of it. `origin_rests` are the seconds for
    which the origin is passed over, from and to: the time between is chance, so that not all come back at once.
    `pair_rests` are those for which this key is passed over for this model.
    """

    works: bool | None = None
    origin_rests: tuple[float, float] | None = None
    pair_rests: float = 0.0


_UP, _DOWN, _NEITHER = Lesson(works=True), Lesson(works=False), Lesson()
IT_WORKS = _UP  # the same, for others to recognise: nothing else is learned from it
_BUSY, _DOWN_BUSY = Lesson(origin_rests=(5.0, 30.0)), Lesson(works=False, origin_rests=(1.0, 5.0))
_UNTRUSTED = Lesson(works=False, origin_rests=(7.0, 13.0))  # as long as a breaker stays open
_ABROAD = Lesson(works=True, origin_rests=(3600.0, 3600.0))
_NO_MODEL, _NO_RIGHT = Lesson(works=True, pair_rests=60.0), Lesson(works=True, pair_rests=300.0)
_YES, _NO = True, False
_CLIENT, _KEY, _MODEL, _PROVIDER = Fault.CLIENT, Fault.KEY, Fault.MODEL, Fault.PROVIDER
_ANSWER, _ANY, _OTHER, _STOP = Next.ANSWER, Next.ANY_CANDIDATE, Next.OTHER_PROVIDER, Next.STOP


class Outcome(Enum):
    """How an attempt ended, and what follows from it, a row each.

    `result` is what the record of the key counts, None where it counts nothing. `may_be_billed` is whether the
    provider may charge for it. `last_resort` is what the client is told if nobody is left.
    """

    # fmt: off
    # ruff: noqa: E501
    # name                value                  fault      then     result                   lesson   billed last resort
    ACCEPTED           = "accepted",           Fault.NOBODY, _ANSWER, Result.OK,             _UP,        _YES, GatewayError
    CLIENT_FAULT       = "client_fault",       _CLIENT,    _ANSWER, Result.CLIENT_FAULT,     _UP,        _NO,  UpstreamsExhausted
    RATE_LIMITED       = "rate_limited",       _KEY,       _ANY,    Result.RATE_LIMITED,     _UP,        _NO,  UpstreamRateLimited
    QUOTA_EXHAUSTED    = "quota_exhausted",    _KEY,       _ANY,    Result.QUOTA_EXHAUSTED,  _UP,        _NO,  UpstreamQuotaExhausted
    KEY_REJECTED       = "key_rejected",       _KEY,       _ANY,    Result.KEY_REJECTED,     _UP,        _NO,  UpstreamAuthFailed
    KEY_FORBIDDEN      = "key_forbidden",      _KEY,       _ANY,    Result.FAILED,           _NO_RIGHT,  _NO,  UpstreamAuthFailed
    MODEL_UNAVAILABLE  = "model_unavailable",  _MODEL,     _ANY,    None,                    _NO_MODEL,  _NO,  ModelNotFound
    REGION_REFUSED     = "region_refused",     _PROVIDER,  _OTHER,  Result.FAILED,           _ABROAD,    _NO,  UpstreamError
    SLOWED_DOWN        = "slowed_down",        _PROVIDER,  _OTHER,  Result.RATE_LIMITED,     _BUSY,      _NO,  UpstreamRateLimited
    BUSY               = "busy",               _PROVIDER,  _OTHER,  Result.SERVER_ERROR,     _BUSY,      _NO,  UpstreamsExhausted
    UNAVAILABLE        = "unavailable",        _PROVIDER,  _OTHER,  Result.SERVER_ERROR,     _DOWN_BUSY, _NO,  UpstreamsExhausted
    ERRED              = "erred",              _PROVIDER,  _ANY,    Result.SERVER_ERROR,     _DOWN,      _YES, UpstreamError
    FAILED             = "failed",             _PROVIDER,  _OTHER,  Result.SERVER_ERROR,     _DOWN,      _YES, UpstreamError
    NOT_SERVED         = "not_served",         _PROVIDER,  _OTHER,  None,                    _NEITHER,   _NO,  UpstreamError
    NOT_READY          = "not_ready",          _PROVIDER,  _ANY,    Result.FAILED,           _NEITHER,   _NO,  UpstreamError
    REDIRECTED         = "redirected",         _PROVIDER,  _OTHER,  Result.FAILED,           _DOWN,      _NO,  UpstreamRedirected
    INVALID_ANSWER     = "invalid_answer",     _PROVIDER,  _OTHER,  Result.FAILED,           _NEITHER,   _YES, UpstreamAnswerInvalid
    TIMED_OUT          = "timed_out",          _PROVIDER,  _ANY,    Result.TIMEOUT,          _DOWN,      _YES, UpstreamTimeout
    REQUEST_TIMED_OUT  = "request_timed_out",  _PROVIDER,  _ANY,    Result.TIMEOUT,          _NEITHER,   _YES, UpstreamTimeout
    PROVIDER_TIMED_OUT = "provider_timed_out", _PROVIDER,  _OTHER,  Result.SERVER_TIMEOUT,   _DOWN,      _YES, UpstreamTimeout
    CONNECT_TIMED_OUT  = "connect_timed_out",  _PROVIDER,  Next.OTHER_HOST, Result.TIMEOUT,  _DOWN,      _NO,  UpstreamTimeout
    UNREACHABLE        = "unreachable",        _PROVIDER,  Next.OTHER_HOST, Result.UNREACHABLE, _DOWN,   _NO,  UpstreamUnreachable
    UNTRUSTED          = "untrusted",          _PROVIDER,  Next.OTHER_HOST, Result.UNREACHABLE, _UNTRUSTED, _NO, UpstreamTLSFailed
    INTERRUPTED        = "interrupted",        _PROVIDER,  _ANY,    Result.SERVER_ERROR,     _DOWN,      _YES, UpstreamInterrupted
    OVERLOADED         = "overloaded",         Fault.GATEWAY, Next.OTHER_HOST, None,         _NEITHER,   _NO,  Overloaded
    BROKEN_OFF         = "broken_off",         _PROVIDER,  _STOP,   Result.SERVER_ERROR,     _DOWN,      _YES, UpstreamInterrupted
    STALLED            = "stalled",            _PROVIDER,  _STOP,   Result.TIMEOUT,          _DOWN,      _YES, UpstreamTimeout
    UNFINISHED         = "unfinished",         _PROVIDER,  _STOP,   Result.FAILED,           _NEITHER,   _YES, UpstreamInterrupted
    CLIENT_GONE        = "client_gone",        _CLIENT,    _STOP,   None,                    _NEITHER,   _YES, ClientGone
    SHUT_DOWN          = "shut_down",          Fault.GATEWAY, _STOP, None,                   _NEITHER,   _YES, Overloaded
    # fmt: on

    def __new__(cls, value: str, *_: Any) -> Outcome:
        member = object.__new__(cls)
        member._value_ = value
        return member

    def __init__(
        self,
        _: str,
        fault: Fault,
        then: Next,
        result: Result | None,
        lesson: Lesson,
        may_be_billed: bool,
        last_resort: type[GatewayError],
    ) -> None:
        self.fault = fault
        self.then = then
        self.result = result
        self.lesson = lesson
        self.may_be_billed = may_be_billed
        self.last_resort = last_resort


ACCEPTED = Outcome.ACCEPTED  # asked for all the time, and Python 3.11 takes long to find a member of an enumeration

_BY_STATUS = {
    200: Outcome.ACCEPTED,
    201: Outcome.ACCEPTED,
    202: Outcome.ACCEPTED,
    204: Outcome.ACCEPTED,
    401: Outcome.KEY_REJECTED,
    402: Outcome.QUOTA_EXHAUSTED,
    403: Outcome.KEY_FORBIDDEN,
    408: Outcome.REQUEST_TIMED_OUT,
    421: Outcome.NOT_SERVED,
    424: Outcome.NOT_READY,
    425: Outcome.NOT_READY,
    429: Outcome.RATE_LIMITED,
    498: Outcome.BUSY,  # Groq: no capacity left for the flex tier
    500: Outcome.ERRED,
    501: Outcome.NOT_SERVED,
    503: Outcome.UNAVAILABLE,
    504: Outcome.PROVIDER_TIMED_OUT,
    529: Outcome.BUSY,  # Anthropic
}


def outcome_of(status: int) -> Outcome:
    """What a status alone says."""
    outcome = _BY_STATUS.get(status)
    if outcome is not None:
        return outcome
    if status < 400:  # nothing is followed; it tells of a wrong base_url, and another provider may still serve
        return Outcome.REDIRECTED
    return Outcome.CLIENT_FAULT if status < 500 else Outcome.FAILED


# A timeout to connect is one of the unreachable, so it comes first.
_FAILURES: tuple[tuple[type[GatewayError], Outcome], ...] = (
    (ConnectTimeout, Outcome.CONNECT_TIMED_OUT),
    (UpstreamTLSFailed, Outcome.UNTRUSTED),
    (UpstreamUnreachable, Outcome.UNREACHABLE),
    (UpstreamTimeout, Outcome.TIMED_OUT),
    (UpstreamAnswerInvalid, Outcome.INVALID_ANSWER),
    (Overloaded, Outcome.OVERLOADED),
)


def outcome_of_failure(error: GatewayError) -> Outcome:
    """What it means that no answer came at all."""
    return next((outcome for kind, outcome in _FAILURES if isinstance(error, kind)), Outcome.INTERRUPTED)


def outcome_of_break(error: GatewayError) -> Outcome:
    """What it means that an answer which was accepted ended before its end."""
    return Outcome.STALLED if isinstance(error, UpstreamTimeout) else Outcome.BROKEN_OFF
