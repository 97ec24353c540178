"""Refusals of the admin plane, and the one place where what was raised becomes an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from ai_gateway_mw.errors import ClientGone, DatabaseUnavailable, GatewayError, KeyStoreUnavailable
from ai_gateway_mw.headers import Field
from ai_gateway_mw.keys.store import KeyDead, KeyNotFound, KeyRefused, NameTaken
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.visible import visible

_RETRY: Final[Field] = (b"retry-after", b"1")


class Refusal(Exception):
    """What an administrator is told instead of an answer; `field` names what is wrong with the request."""

    def __init__(self, status: int, code: str, message: str, *, field: str = "", fields: Sequence[Field] = ()) -> None:
        self.status = status
        self.code = code
        self.field = field
        self.fields = tuple(fields)
        super().__init__(message)


def unauthenticated() -> Refusal:
    """The same for every reason."""
    return Refusal(401, "unauthenticated", "A valid admin token is needed.", fields=[(b"www-authenticate", b"Bearer")])


def too_many_failures(seconds: int) -> Refusal:
    fields = [(b"retry-after", str(seconds).encode())]
    return Refusal(429, "too_many_failures", "Too many requests without a valid admin token.", fields=fields)


def busy() -> Refusal:
    """What is asked for takes its time, and others have asked for it as well."""
    return Refusal(503, "overloaded", "Too many such requests at once.", fields=[_RETRY])


def not_found(path: str) -> Refusal:
    return Refusal(404, "not_found", f"There is nothing at {path[:200]}.")


def key_not_found(wanted: str, hint: str = "") -> Refusal:
    return Refusal(404, "key_not_found", f"There is no key `{wanted[:100]}`.{hint and ' '}{hint}")


def invalid(field: str, message: str) -> Refusal:
    """A field of the body or of the query has a value that it cannot have."""
    return Refusal(422, "invalid_field", message, field=field)


def as_refusal(error: Exception) -> Refusal | None:
    """What was raised on the way to an answer, as it is told; None for a failure of ours."""
    match error:
        case Refusal():
            return error
        case DatabaseUnavailable() | KeyStoreUnavailable():
            return Refusal(503, "database_unavailable", "The database cannot be reached.", fields=[_RETRY])
        case KeyNotFound():
            return Refusal(404, "key_not_found", "There is no such key.")
        case NameTaken():
            return Refusal(409, "name_taken", str(error), field=error.field)
        case KeyDead():
            return Refusal(409, "key_not_active", str(error))
        case KeyRefused():
            return invalid(error.field, str(error))
        case ClientGone() | GatewayError():
            fields = [(name.encode(), value.encode("latin-1", "replace")) for name, value in error.fields]
            return Refusal(error.status, error.code, error.message, fields=fields)
    return None


def refused(refusal: Refusal, request_id: str) -> Reply:
    """The answer of a refusal."""
    told: dict[str, Any] = {"code": refusal.code, "message": str(refusal), "request_id": request_id}
    if refusal.field:
        told["field"] = refusal.field
    return json_answer(refusal.status, {"error": told}, refusal.fields)


def json_answer(status: int, content: Any, fields: Sequence[Field] = ()) -> Reply:
    """An answer in JSON, all ASCII: whatever somebody has called a key, no control character reaches a terminal."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return Reply(status, ((b"content-type", b"application/json"), *fields), body)


def text_answer(text: str) -> Reply:
    """An answer for people, without anything that a terminal obeys."""
    return Reply(200, ((b"content-type", b"text/plain; charset=utf-8"),), visible(text).encode())
