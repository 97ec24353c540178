"""What actions leave behind in an exchange: results that expressions read, and refusals that did not come about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ai_gateway_mw.context import Context


class Spared(NamedTuple):
    """A refusal that did not come about, since its action has `enforce: false`."""

    action: str
    place: str
    code: str
    status: int
    reason: str


class Later(NamedTuple):
    """A result that is made when it is read: by a function of the Context and of what the action had to add."""

    made: Callable[[Context, Any], Any]
    addition: Any


class Results(Mapping[str, Any]):
    """The results of one exchange by their actions' names, as expressions read them."""

    __slots__ = ("_ctx", "_values")

    def __init__(self, ctx: Context, values: dict[str, Any]) -> None:
        self._ctx = ctx
        self._values = values

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        if type(value) is Later:
            value = self._values[name] = value.made(self._ctx, value.addition)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
