"""Macros, as the evaluator means them: those that walk a list or a map, `cel.bind`, and `optMap`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.frames import Failed, Frame
from ai_gateway_mw.cel.limits import ERROR, OverBudget
from ai_gateway_mw.cel.nodes import Bind, Comprehension, Node, OptionalMap
from ai_gateway_mw.cel.ordering import extreme, keyless_last, ordered, present
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.values import NONE, OptionalValue, map_of, merged, opened

if TYPE_CHECKING:
    from ai_gateway_mw.cel.evaluator import Evaluator


class Walk:
    """One walk: iterating it puts each element into the macro's variables, for `test` and `result` to see."""

    def __init__(self, evaluator: Evaluator, node: Comprehension, frame: Frame, range_: Any) -> None:
        self._evaluator = evaluator
        self._node = node
        self._frame = frame
        self.lenient = evaluator.lenient
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
        """What the macro's test says of the element that its variables hold now."""
        if self._node.test is None:
            return True
        try:
            return self._evaluator.truth(self._node.test, self._frame)
        except OverBudget:
            raise
        except EvaluationError:
            self._frame.budget.spend(ERROR)
            if self.lenient:
                return False
            raise

    def result(self) -> Any:
        return self._evaluator.evaluate(self._node.result[0], self._frame)

    def key(self) -> Any:
        """What to sort by; None where that fails and failing is allowed."""
        try:
            return self.result()
        except OverBudget:
            raise
        except EvaluationError:
            self._frame.budget.spend(ERROR)
            if self.lenient:
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
                self._frame.budget.spend(ERROR)
                failed = failed or error
        try:
            if failed is not None:
                raise failed
        finally:
            del failed  # its traceback holds this frame
        return not decisive

    def keyed(self) -> list[tuple[Any, Any]]:
        """(key, element) pairs, to be sorted; only lenient expressions have elements without a key."""
        self._frame.budget.spend(2 * len(self._range))
        return [(self.key(), element) for element in self]


def _sorted(walk: Walk) -> list[Any]:
    if walk.lenient:
        return keyless_last(walk.keyed())
    return [element for _, element in ordered(walk.keyed())]


def _extreme(place: int) -> Callable[[Walk], Any]:
    return lambda walk: extreme(present(walk.keyed()) if walk.lenient else walk.keyed(), place)


def _entries(walk: Walk) -> Mapping[Any, Any]:
    return merged([walk.result() for _ in walk if walk.test()])


FOLDS: dict[str, Callable[[Walk], Any]] = {
    "all": lambda walk: walk.decide(False),
    "exists": lambda walk: walk.decide(True),
    "exists_one": lambda walk: sum(walk.test() for _ in walk) == 1,
    "filter": lambda walk: [element for element in walk if walk.test()],
    "map": lambda walk: [walk.result() for _ in walk if walk.test()],
    "transformMap": lambda walk: map_of([(key, walk.result()) for key in walk if walk.test()]),
    "transformMapEntry": _entries,
    "sortBy": _sorted,
    "minBy": _extreme(0),
    "maxBy": _extreme(-1),
}


def _comprehension(evaluator: Evaluator, node: Comprehension, frame: Frame) -> Any:
    return FOLDS[node.kind](Walk(evaluator, node, frame, evaluator.evaluate(node.range, frame)))


def _bind(evaluator: Evaluator, node: Bind, frame: Frame) -> Any:
    try:
        frame.locals[node.name] = evaluator.evaluate(node.value, frame)
    except OverBudget:
        raise
    except EvaluationError as error:
        frame.locals[node.name] = Failed(error)
    return evaluator.evaluate(node.body, frame)


def _optional_map(evaluator: Evaluator, node: OptionalMap, frame: Frame) -> OptionalValue:
    target = opened(evaluator.evaluate(node.target, frame))
    if not target.present:
        return NONE
    frame.locals[node.name] = target.value
    value = evaluator.evaluate(node.body, frame)
    return opened(value) if node.flat else OptionalValue(True, value)


MACROS: dict[type[Node], Callable[[Evaluator, Any, Frame], Any]] = {
    Comprehension: _comprehension,
    Bind: _bind,
    OptionalMap: _optional_map,
}
