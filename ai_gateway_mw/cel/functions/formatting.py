"""`"…".format([…])`: verbs %s %d %f %e %b %o %x %X, with a precision as in %.2f."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ai_gateway_mw.cel.declarations import kind_of_class
from ai_gateway_mw.cel.limits import checked_count, checked_size
from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.rendering import double_text
from ai_gateway_mw.cel.types import VALUE_NAMES
from ai_gateway_mw.cel.values import CelType, adapted

_CLAUSE = re.compile(r"%(?:(%)|(\.[0-9]*)?(.))?", re.DOTALL)
_LARGEST_PRECISION = 1000


def formatted(pattern: str, args: list[Any]) -> str:
    """The pattern with each clause replaced by its argument, in order."""
    rest = iter(args)
    size = len(pattern)

    def replaced(match: re.Match[str]) -> str:
        nonlocal size
        text = "%" if match[1] else _clause(match, rest)
        size = checked_size(size + len(text))
        return text

    return _CLAUSE.sub(replaced, pattern)


def _clause(match: re.Match[str], rest: Any) -> str:
    precision, verb = match[2], match[3]
    write = _VERBS.get(verb or "")
    if write is None or (precision and verb not in "fe"):
        raise EvaluationError(f"format: `{match[0]}` is not a clause that can be formatted")
    digits = int(precision[1:] or 0) if precision else 6
    if digits > _LARGEST_PRECISION:
        raise EvaluationError("format: the precision is too large")
    missing = object()
    value = next(rest, missing)
    if value is missing:
        raise EvaluationError("format: there are more clauses than arguments")
    return write(adapted(value), digits)


def _wrong(verb: str, value: Any) -> EvaluationError:
    return EvaluationError(f"format: `%{verb}` does not take {kind_of_class(type(value))}")


def _string(value: Any, digits: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        return _special(value) or double_text(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (int, Timestamp, Duration)):
        return str(value)
    if isinstance(value, CelType):
        return VALUE_NAMES.get(value.name, value.name)
    if isinstance(value, (list, tuple)):
        checked_count(len(value))
        return f"[{', '.join(_string(adapted(each), digits) for each in value)}]"
    if isinstance(value, Mapping):
        checked_count(len(value))
        pairs = sorted((_string(key, digits), _string(adapted(each), digits)) for key, each in value.items())
        return f"{{{', '.join(f'{key}: {each}' for key, each in pairs)}}}"
    raise _wrong("s", value)


def _special(value: Any) -> str:
    if not isinstance(value, float) or math.isfinite(value):
        return ""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _decimal(value: Any, _digits: int) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong("d", value)
    return _special(value) or (double_text(value) if isinstance(value, float) else str(value))


def _real(verb: str) -> Callable[[Any, int], str]:
    def write(value: Any, digits: int) -> str:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong(verb, value)
        if _special(value):
            return _special(value)
        if verb == "e":
            return f"{float(value):.{digits}e}"
        return _rounded(value, digits)

    return write


def _whole(verb: str) -> Callable[[Any, int], str]:
    def write(value: Any, _digits: int) -> str:
        if isinstance(value, int) and (verb == "b" or not isinstance(value, bool)):
            return f"{int(value):{verb}}"
        if verb in "xX" and isinstance(value, (str, bytes)):
            data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            return data.hex() if verb == "x" else data.hex().upper()
        raise _wrong(verb, value)

    return write


def _rounded(value: float, digits: int) -> str:
    """Written out exactly, then rounded half to even, as Go does it."""
    from decimal import ROUND_HALF_EVEN, Context, Decimal  # noqa: PLC0415 - who does not need it shall not wait for it

    return f"{Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN, Context(prec=2000)):f}"


_VERBS: dict[str, Callable[[Any, int], str]] = {
    "s": _string,
    "d": _decimal,
    "f": _real("f"),
    "e": _real("e"),
    "b": _whole("b"),
    "o": _whole("o"),
    "x": _whole("x"),
    "X": _whole("X"),
}
