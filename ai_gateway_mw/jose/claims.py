"""What the claims of a token must say (RFC 7519 4.1) once its signature has been checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

_END_OF_TIME: Final = 1e12  # seconds; larger ones, and what is no number at all, are no times


@dataclass(frozen=True, slots=True)
class Expected:
    """Who may have issued a token, and whom it must be for; None where that counts for nothing."""

    issuers: Collection[str]
    audiences: Collection[str] | None = None
    leeway: float = 60.0


def check_claims(claims: Mapping[str, Any], expected: Expected, now: float) -> tuple[str, bool] | None:
    """What is wrong, in words that hold nothing of the claims, and whether another token of the same client could be
    better; None where all is well."""
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in expected.issuers:
        return "its issuer is not allowed", False
    if expected.audiences is not None and not _audiences(claims.get("aud")) & set(expected.audiences):
        return "it is for another audience", False
    return _untimely(claims, expected.leeway, now)


def _audiences(claim: Any) -> set[str]:
    """RFC 7519 4.1.3: one text, or a list of them."""
    listed = claim if isinstance(claim, list) else [claim]
    return {each for each in listed if isinstance(each, str)} if all(isinstance(one, str) for one in listed) else set()


def _untimely(claims: Mapping[str, Any], leeway: float, now: float) -> tuple[str, bool] | None:
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if not all(_is_time(value) for value in times.values()):
        return "its times are no numbers", True
    if "exp" not in times:
        return "it never expires", True
    if now >= times["exp"] + leeway:
        return "it has expired", True
    if times.get("nbf", now) > now + leeway or times.get("iat", now) > now + leeway:
        return "it is not valid yet", True
    return None


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _END_OF_TIME
