"""What generated functions call: to give up, to stay within the budget, and to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ai_gateway_mw.cel.costs import cost
from ai_gateway_mw.cel.limits import Budget, Limits, OverBudget
from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.values import equals


class Stumble(Exception):
    """The generated code met something that it was not made for; the evaluator takes over."""


def stumble() -> Any:
    raise Stumble


def charging(function: str, call: Callable[..., Any], *last: Any) -> Callable[[Budget], Callable[..., Any]]:
    """Inside loops: a call that is charged for what it looks at and what it makes; `last` are arguments known now."""

    def with_budget(budget: Budget) -> Callable[..., Any]:
        def charged(*args: Any) -> Any:
            budget.spend(cost(function, (*args, *last)))
            return grown(budget, call(*args, *last))

        return charged

    return with_budget


class Share:
    """What one call may take, outside loops, of all the steps and all the size that the expression has."""

    __slots__ = ("_all", "size", "steps")

    def __init__(self, limits: Limits, calls: int) -> None:
        parts = max(_FEWEST, calls)
        self._all = limits.steps
        self.steps = limits.steps // parts
        self.size = limits.size // parts

    def check(self, steps: int) -> None:
        """Leaves work to the evaluator that is too much here; what would be too much there as well ends it."""
        if steps > self._all:
            raise OverBudget("this expression takes too many steps")
        if steps > self.steps:
            raise Stumble


_FEWEST = 8


def sharing(function: str, call: Callable[..., Any], share: Share) -> Callable[..., Any]:
    """Outside loops: a call that stays within its share."""

    def shared(*args: Any) -> Any:
        share.check(cost(function, args))
        return call(*args)

    return shared


def grown(budget: Budget, value: Any) -> Any:
    """The value, charged to the budget if it is of a kind that can be large."""
    budget.allocate(value)
    return value


def small(value: Any, most: int) -> Any:
    """The value, if it is not large."""
    return value if len(value) <= most else stumble()


def joined(most: int, *parts: str) -> str:
    """Strings one after the other."""
    return "".join(parts) if sum(map(len, parts)) <= most else stumble()


def within(budget: Budget, value: Any, values: list[Any]) -> bool:
    """`in` for a list that may be long."""
    budget.spend(len(values) // 16)
    return value in values


def comparing(share: Share) -> Callable[[Budget | None, Any, Any], bool]:
    """`==` for whatever there is; lists and maps are charged for all that is in them."""

    def same(budget: Budget | None, left: Any, right: Any) -> bool:
        if isinstance(left, _DEEP) and isinstance(right, _DEEP):
            steps = cost("_==_", (left, right))
            if budget is None:
                share.check(steps)
            else:
                budget.spend(steps)
        return equals(left, right)

    return same


_DEEP = (list, tuple, Mapping)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(value: Any) -> int:
    """Those of a timestamp or duration, ours or the host's."""
    kind = value.__class__
    if kind is Timestamp or kind is Duration:
        return int(value.ns)
    if kind is datetime:
        return _nanoseconds((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH)
    return _nanoseconds(value) if isinstance(value, timedelta) else stumble()


def elapsed(later: Any, earlier: Any) -> int:
    """The nanoseconds between two timestamps."""
    if later.__class__ is datetime and earlier.__class__ is datetime and later.tzinfo and earlier.tzinfo:
        return _nanoseconds(later - earlier)
    return nanoseconds(later) - nanoseconds(earlier)


def _nanoseconds(delta: timedelta) -> int:
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1000


def walkable(range_: Any) -> None:
    """Strings can be walked in Python but not in CEL."""
    if not isinstance(range_, _DEEP):
        stumble()


def in_pairs(range_: Any) -> Iterable[tuple[Any, Any]]:
    """What macros with two variables walk: indexes or keys, each with its value."""
    if isinstance(range_, Mapping):
        return range_.items()
    return enumerate(range_) if isinstance(range_, (list, tuple)) else stumble()
