"""What every node means, exactly. Slow, and the last word: the planner's functions ask it whenever they stumble."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ai_gateway_mw.cel.declarations import Kinds, Overload, accepts
from ai_gateway_mw.cel.folds import FOLDS, Walk
from ai_gateway_mw.cel.limits import Budget, Limits, OverBudget, work
from ai_gateway_mw.cel.nodes import (
    Apply,
    Bind,
    Comprehension,
    Conditional,
    Entry,
    Has,
    Index,
    ListLiteral,
    Literal,
    Local,
    Logic,
    MapLiteral,
    MessageLiteral,
    Node,
    OptionalMap,
    Present,
    Read,
    Select,
    Unknown,
)
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.secrecy import CONSTANT_TIME
from ai_gateway_mw.cel.values import MISSING, NONE, OptionalValue, adapted, lookup, map_of
from ai_gateway_mw.cel.wellknown import message


class Frame:
    """One evaluation: what is read from, the variables of macros, and what work is still allowed."""

    __slots__ = ("activation", "budget", "locals")

    def __init__(self, activation: Any, budget: Budget, locals_: dict[str, Any] | None = None) -> None:
        self.activation = activation
        self.budget = budget
        self.locals = {} if locals_ is None else locals_


class _Failed:
    """Stands for the value of a variable whose making failed; whoever reads it gets the error."""

    __slots__ = ("error",)

    def __init__(self, error: EvaluationError) -> None:
        self.error = error


class Evaluator:
    """Walks trees. `lenient` makes a failing test of a macro false instead of an error."""

    def __init__(self, kinds: Kinds, limits: Limits, *, lenient: bool) -> None:
        self._kinds = kinds
        self._limits = limits
        self.lenient = lenient
        self._chosen: dict[tuple[Any, ...], Overload | None] = {}
        self._rules: dict[type[Node], Callable[[Any, Frame], Any]] = {
            Literal: lambda node, frame: node.value,
            Local: self._local,
            Read: self._read,
            Unknown: self._unknown,
            Select: self._select,
            Index: self._index,
            Has: self._has,
            Present: self._present,
            Apply: self._apply,
            Logic: self._logic,
            Conditional: self._conditional,
            ListLiteral: self._list,
            MapLiteral: self._map,
            MessageLiteral: self._message,
            Comprehension: self._comprehension,
            Bind: self._bind,
            OptionalMap: self._optional_map,
        }

    def run(self, node: Node, activation: Any, locals_: dict[str, Any] | None = None) -> Any:
        """The value of a tree, or EvaluationError."""
        try:
            return self.evaluate(node, Frame(activation, Budget(self._limits), locals_))
        except RecursionError:
            raise EvaluationError("a value is nested too deeply") from None

    def evaluate(self, node: Node, frame: Frame) -> Any:
        """The value of a node within an evaluation that has begun."""
        budget = frame.budget
        budget.steps -= 1
        if budget.steps < 0:
            budget.spend(0)
        return self._rules[type(node)](node, frame)

    def run_test(self, node: Comprehension, activation: Any, locals_: dict[str, Any]) -> bool:
        """The test of a macro for one element, on its own."""
        return self.test(node, Frame(activation, Budget(self._limits), locals_))

    def budget(self) -> Budget:
        """A fresh budget for one evaluation."""
        return Budget(self._limits)

    @property
    def steps(self) -> int:
        return self._limits.steps

    # names

    def _local(self, node: Local, frame: Frame) -> Any:
        value = frame.locals[node.name]
        if isinstance(value, _Failed):
            raise value.error
        return value

    def _read(self, node: Read, frame: Frame) -> Any:
        variable = node.variable
        try:
            return frame.activation[variable.name] if variable.read is None else variable.read(frame.activation)
        except EvaluationError:
            raise
        except Exception as error:
            raise EvaluationError(f"`{variable.name}` has no value", node.offset) from error

    def _unknown(self, node: Unknown, frame: Frame) -> Any:
        raise EvaluationError(f"unknown name `{node.name}`", node.offset)

    # fields, keys and indexes

    def _select(self, node: Select, frame: Frame) -> Any:
        operand = self.evaluate(node.operand, frame)
        if isinstance(operand, OptionalValue) or node.optional:
            return self._optional(operand, node.field, node)
        value = self._found(operand, node.field)
        if value is MISSING:
            known = self._kinds.of(operand)
            what = "key" if known == "map" else "field"
            raise EvaluationError(f"no such {what} in this {known}: `{node.field}`", node.offset)
        return value

    def _index(self, node: Index, frame: Frame) -> Any:
        operand = self.evaluate(node.operand, frame)
        key = self.evaluate(node.key, frame)
        if isinstance(operand, OptionalValue) or node.optional:
            return self._optional(operand, key, node)
        value = self.at(operand, key)
        if value is MISSING:
            raise self._no_such_key(node, operand)
        return value

    def _no_such_key(self, node: Index, operand: Any) -> EvaluationError:
        kind = self._kinds.of(operand)
        shown = f": {node.key.value!r}" if isinstance(node.key, Literal) else ""
        if kind == "list":
            return EvaluationError(f"the list has {len(operand)} elements, none at this index{shown}", node.offset)
        if kind == "map":
            return EvaluationError(f"no such key in this map{shown}", node.offset)
        return EvaluationError(f"a {kind} has nothing to index", node.offset)

    def _optional(self, operand: Any, key: Any, node: Node) -> OptionalValue:
        """What is under a key, or absent; but a value that has neither fields nor keys is an error even so."""
        if isinstance(operand, OptionalValue):
            if not operand.present:
                return NONE
            operand = operand.value
        value = self.at(operand, key)
        if value is not MISSING:
            return OptionalValue(True, value)
        if isinstance(operand, (Mapping, list, tuple)):
            return NONE
        raise EvaluationError(f"a {self._kinds.of(operand)} has no fields", node.offset)

    def _found(self, operand: Any, field: str) -> Any:
        """A field of an object or a key of a map; MISSING if there is no such thing."""
        if isinstance(operand, Mapping):
            return lookup(operand, field)
        return getattr(operand, field, MISSING) if field in self._kinds.fields(operand) else MISSING

    def at(self, operand: Any, key: Any) -> Any:
        """An element, field or key's value; MISSING if there is no such thing."""
        if isinstance(operand, (list, tuple)):
            return _element(operand, key)
        return self._found(operand, key) if isinstance(operand, Mapping) or isinstance(key, str) else MISSING

    def _has(self, node: Has, frame: Frame) -> bool:
        return self.present(node, self.evaluate(node.operand, frame), self.evaluate(node.key, frame))

    def present(self, node: Has, operand: Any, key: Any) -> bool:
        """What `has` says of a field or key of this operand."""
        if isinstance(operand, OptionalValue):
            return self._optional(operand, key, node).present
        if not isinstance(operand, (Mapping, list, tuple)):
            if key not in self._kinds.fields(operand):
                raise EvaluationError(f"a {self._kinds.of(operand)} has no such field", node.offset)
            return getattr(operand, key, None) is not None
        return self.at(operand, key) is not MISSING

    def _present(self, node: Present, frame: Frame) -> bool:
        try:
            return self.evaluate(node.read, frame) is not None
        except EvaluationError:
            return False

    # calls

    def _apply(self, node: Apply, frame: Frame) -> Any:
        args = [self.evaluate(arg, frame) for arg in node.args]
        frame.budget.spend(work(node.function, args))
        if node.sensitive:
            return CONSTANT_TIME[node.function](*args)
        value = self.call(node, args, frame.activation)
        frame.budget.allocate(value)
        return value

    def call(self, node: Apply, args: list[Any], activation: Any) -> Any:
        """Applies the overload that takes these values."""
        overload = self._overload(node, args)
        if overload is None:
            raise EvaluationError(self._described(node, args), node.offset)
        try:
            taken = [adapted(arg) for arg in args]
            return overload.call(activation, *taken) if overload.contextual else overload.call(*taken)
        except EvaluationError as error:
            if error.offset is None:
                error.offset = node.offset
            raise
        except Exception as error:  # noqa: BLE001 - whatever a function raises is a CEL error
            cause = None if overload.sensitive else error
            raise EvaluationError(f"`{overload.name}` failed: {type(error).__name__}", node.offset) from cause

    def _overload(self, node: Apply, args: list[Any]) -> Overload | None:
        kinds = tuple(map(self._kinds.of, args))
        key = (node, kinds)
        if key not in self._chosen:
            fitting = (each for each in node.overloads if _takes(each, kinds))
            self._chosen[key] = next(fitting, None)
        return self._chosen[key]

    def _described(self, node: Apply, args: list[Any]) -> str:
        kinds = ", ".join(map(self._kinds.of, args))
        return f"`{node.function.strip('_')}` does not take ({kinds})"

    # logic

    def _logic(self, node: Logic, frame: Frame) -> bool:
        """One decisive operand settles it, whatever the others are, even errors; else an error stays an error."""
        decisive = node.op == "||"
        failed: EvaluationError | None = None
        for operand in node.operands:
            try:
                value = self._bool(self.evaluate(operand, frame))
            except OverBudget:
                raise
            except EvaluationError as error:
                failed = failed or error
                continue
            if value is decisive:
                return decisive
        if failed is not None:
            raise failed
        return not decisive

    def _bool(self, value: Any) -> bool:
        if value is True or value is False:
            return bool(value)
        raise EvaluationError(f"expected bool, not {self._kinds.of(value)}")

    def _conditional(self, node: Conditional, frame: Frame) -> Any:
        test = self._bool(self.evaluate(node.test, frame))
        return self.evaluate(node.yes if test else node.no, frame)

    # literals

    def _list(self, node: ListLiteral, frame: Frame) -> list[Any]:
        values = []
        for place, element in enumerate(node.elements):
            value = self.evaluate(element, frame)
            if place not in node.optional:
                values.append(value)
            elif _optional_value(value).present:
                values.append(value.value)
        frame.budget.allocate(values)
        return values

    def _pairs(self, entries: tuple[Entry, ...], frame: Frame) -> Iterator[tuple[Any, Any]]:
        for entry in entries:
            key = self.evaluate(entry.key, frame)
            value = self.evaluate(entry.value, frame)
            if not entry.optional:
                yield key, value
            elif _optional_value(value).present:
                yield key, value.value

    def _map(self, node: MapLiteral, frame: Frame) -> Mapping[Any, Any]:
        pairs = list(self._pairs(node.entries, frame))
        for key, _ in pairs:
            if self._kinds.of(key) not in ("string", "int", "uint", "bool"):
                raise EvaluationError(f"a {self._kinds.of(key)} cannot be the key of a map", node.offset)
        frame.budget.allocate(pairs)
        return map_of(pairs)

    def _message(self, node: MessageLiteral, frame: Frame) -> Any:
        return message(node.name, dict(self._pairs(node.entries, frame)))

    # macros

    def _comprehension(self, node: Comprehension, frame: Frame) -> Any:
        range_ = self.evaluate(node.range, frame)
        return FOLDS[node.kind](Walk(self, node, frame, range_))

    def test(self, node: Comprehension, frame: Frame) -> bool:
        """The test of a macro for the element that its variables hold now."""
        if node.test is None:
            return True
        try:
            return self._bool(self.evaluate(node.test, frame))
        except OverBudget:
            raise
        except EvaluationError:
            if self.lenient:
                return False
            raise

    def _bind(self, node: Bind, frame: Frame) -> Any:
        try:
            frame.locals[node.name] = self.evaluate(node.value, frame)
        except EvaluationError as error:
            frame.locals[node.name] = _Failed(error)
        return self.evaluate(node.body, frame)

    def _optional_map(self, node: OptionalMap, frame: Frame) -> OptionalValue:
        target = _optional_value(self.evaluate(node.target, frame))
        if not target.present:
            return NONE
        frame.locals[node.name] = target.value
        value = self.evaluate(node.body, frame)
        return _optional_value(value) if node.flat else OptionalValue(True, value)


def _takes(overload: Overload, kinds: tuple[str, ...]) -> bool:
    return len(overload.params) == len(kinds) and all(map(accepts, overload.params, kinds))


def _element(values: list[Any] | tuple[Any, ...], key: Any) -> Any:
    whole = isinstance(key, int) or (isinstance(key, float) and key.is_integer())
    if not whole or isinstance(key, bool):
        return MISSING
    place = int(key)
    return values[place] if 0 <= place < len(values) else MISSING


def _optional_value(value: Any) -> OptionalValue:
    if not isinstance(value, OptionalValue):
        raise EvaluationError("expected an optional value")
    return value
