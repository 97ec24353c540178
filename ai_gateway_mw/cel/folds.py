"""How each macro that walks a list or a map makes its result from the elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.limits import OverBudget
from ai_gateway_mw.cel.nodes import Comprehension
from ai_gateway_mw.cel.ordering import ordered
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.values import map_of

if TYPE_CHECKING:
    from ai_gateway_mw.cel.evaluator import Evaluator, Frame


class Walk:
    """One walk: iterating it puts each element into the macro's variables, for `test` and `result` to see."""

    def __init__(self, evaluator: Evaluator, node: Comprehension, frame: Frame, range_: Any) -> None:
        self._evaluator = evaluator
        self._node = node
        self._frame = frame
        if not isinstance(range_, (list, tuple, Mapping)):
            raise EvaluationError(f"`{node.kind}` walks a list or a map", node.offset)
        self._range = range_

    def __iter__(self) -> Iterator[Any]:
        """The first variable's values: elements or keys; with two variables, indexes or keys."""
        names, locals_ = self._node.variables, self._frame.locals
        if len(names) == 1:
            for locals_[names[0]] in self._range:
                yield locals_[names[0]]
            return
        pairs = self._range.items() if isinstance(self._range, Mapping) else enumerate(self._range)
        for locals_[names[0]], locals_[names[1]] in pairs:
            yield locals_[names[0]]

    def test(self) -> bool:
        return self._evaluator.test(self._node, self._frame)

    def result(self) -> Any:
        self._frame.budget.size -= 64
        return self._evaluator.evaluate(self._node.result[0], self._frame)

    def key(self) -> Any:
        """What to sort by; None where that fails and failing is allowed."""
        try:
            return self.result()
        except OverBudget:
            raise
        except EvaluationError:
            if self._evaluator.lenient:
                return None
            raise

    def decide(self, decisive: bool) -> bool:
        """`exists` and `all`: one decisive element settles it, whatever the others are, even errors."""
        failed: EvaluationError | None = None
        for _ in self:
            try:
                if self.test() is decisive:
                    return decisive
            except OverBudget:
                raise
            except EvaluationError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return not decisive

    def keyed(self) -> tuple[list[tuple[Any, Any]], list[Any]]:
        """(key, element) pairs, and the elements without a key, which only lenient expressions may have."""
        pairs = [(self.key(), element) for element in self]
        if not self._evaluator.lenient:
            return pairs, []
        return [pair for pair in pairs if pair[0] is not None], [element for key, element in pairs if key is None]


def _sorted(walk: Walk) -> list[Any]:
    pairs, rest = walk.keyed()
    return [element for _, element in ordered(pairs)] + rest


def _extreme(place: int) -> Callable[[Walk], Any]:
    def pick(walk: Walk) -> Any:
        pairs = ordered(walk.keyed()[0])
        if not pairs:
            raise EvaluationError("an empty list has neither a smallest nor a largest element")
        best = pairs[place][0]
        return next(element for key, element in pairs if key == best)

    return pick


def _merged(walk: Walk) -> Mapping[Any, Any]:
    pairs: list[tuple[Any, Any]] = []
    for _ in walk:
        if walk.test():
            entries = walk.result()
            if not isinstance(entries, Mapping):
                raise EvaluationError("`transformMapEntry` makes a map of each element")
            pairs += entries.items()
    return map_of(pairs)


FOLDS: dict[str, Callable[[Walk], Any]] = {
    "all": lambda walk: walk.decide(False),
    "exists": lambda walk: walk.decide(True),
    "exists_one": lambda walk: sum(walk.test() for _ in walk) == 1,
    "filter": lambda walk: [element for element in walk if walk.test()],
    "map": lambda walk: [walk.result() for _ in walk if walk.test()],
    "transformMap": lambda walk: map_of([(key, walk.result()) for key in walk if walk.test()]),
    "transformMapEntry": _merged,
    "sortBy": _sorted,
    "minBy": _extreme(0),
    "maxBy": _extreme(-1),
}
