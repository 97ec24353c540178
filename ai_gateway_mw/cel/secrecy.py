"""Comparing where one side was made from a secret: the time taken must not tell how much of it was guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.values import equals


def same(left: Any, right: Any) -> bool:
    """`==`, in constant time for two strings or two byte strings."""
    if isinstance(left, str) and isinstance(right, str):
        return _comparer()(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
    if isinstance(left, bytes) and isinstance(right, bytes):
        return _comparer()(left, right)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and sum(map(same, left, right)) == len(left)
    return equals(left, right)


@cache
def _comparer() -> Callable[[bytes, bytes], bool]:
    from hmac import compare_digest  # noqa: PLC0415 - loads OpenSSL: who has no secrets shall not wait for it

    return compare_digest


def different(left: Any, right: Any) -> bool:
    """`!=`."""
    return not same(left, right)


def contained(value: Any, values: Any) -> bool:
    """`in`: every element is compared, also after the right one was met."""
    if not isinstance(values, (list, tuple, Mapping)):
        raise EvaluationError("`in` wants a list or a map on its right")
    elements: Iterable[Any] = values
    return sum(same(value, each) for each in elements) > 0


CONSTANT_TIME: dict[str, Callable[[Any, Any], bool]] = {"_==_": same, "_!=_": different, "_in_": contained}
