"""What every node means, exactly. Slow, and the last word: the planner's functions ask it whenever they stumble."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ai_gateway_mw.cel.aggregates import AGGREGATES
from ai_gateway_mw.cel.calling import Calls
from ai_gateway_mw.cel.costs import cost
from ai_gateway_mw.cel.declarations import Kinds
from ai_gateway_mw.cel.folds import MACROS
from ai_gateway_mw.cel.frames import Failed, Frame
from ai_gateway_mw.cel.limits import ERROR, Budget, Limits, OverBudget
from ai_gateway_mw.cel.lookups import Lookups
from ai_gateway_mw.cel.nodes import (
    Apply,
    Conditional,
    Has,
    Index,
    Literal,
    Local,
    Logic,
    Node,
    Present,
    Read,
    Select,
    Unknown,
)
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.secrecy import CONSTANT_TIME
from ai_gateway_mw.cel.values import MISSING, OptionalValue

_CALL = 8  # steps that a call takes beside what the function does
# Methods of optional values whose argument is evaluated only if it is needed, and what they give if it is not.
_LAZY: dict[str, Callable[[OptionalValue], Any]] = {"or": lambda one: one, "orValue": lambda one: one.value}


class Evaluator:
    """Walks trees. `lenient` makes a failing test of a macro false instead of an error."""

    def __init__(self, kinds: Kinds, limits: Limits, *, lenient: bool) -> None:
        self.kinds = kinds
        self.limits = limits
        self.lenient = lenient
        self.lookups = Lookups(kinds)
        self.calls = Calls(kinds)
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
            **{kind: partial(rule, self) for kind, rule in (*AGGREGATES.items(), *MACROS.items())},
        }

    def run(
        self, node: Node, activation: Any, locals_: dict[str, Any] | None = None, budget: Budget | None = None
    ) -> Any:
        """The value of a tree, or EvaluationError."""
        try:
            return self.evaluate(node, Frame(activation, budget or Budget(self.limits), locals_ or {}))
        except RecursionError:
            raise EvaluationError("a value is nested too deeply") from None

    def evaluate(self, node: Node, frame: Frame) -> Any:
        """The value of a node within an evaluation that has begun."""
        budget = frame.budget
        budget.steps -= 1
        if budget.steps < 0:
            budget.spend(0)
        return self._rules[type(node)](node, frame)

    # names

    def _local(self, node: Local, frame: Frame) -> Any:
        value = frame.locals[node.name]
        if isinstance(value, Failed):
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
            return self.optional(node, operand, node.field)
        value = self.lookups.field(operand, node.field)
        if value is MISSING:
            raise _placed(self.lookups.no_field(operand, node.field), node)
        return value

    def _index(self, node: Index, frame: Frame) -> Any:
        operand = self.evaluate(node.operand, frame)
        key = self.evaluate(node.key, frame)
        if isinstance(operand, OptionalValue) or node.optional:
            return self.optional(node, operand, key)
        value = self.lookups.at(operand, key)
        if value is MISSING:
            shown = f": {key!r}" if isinstance(node.key, Literal) else ""
            raise _placed(self.lookups.no_key(operand, shown), node)
        return value

    def optional(self, node: Node, operand: Any, key: Any) -> OptionalValue:
        """What `operand.?key` or `operand[?key]` gives."""
        try:
            return self.lookups.optional(operand, key)
        except EvaluationError as error:
            raise _placed(error, node) from None

    def _has(self, node: Has, frame: Frame) -> bool:
        return self.present(node, self.evaluate(node.operand, frame), self.evaluate(node.key, frame))

    def present(self, node: Node, operand: Any, key: Any) -> bool:
        """What `has(operand.key)` gives."""
        try:
            return self.lookups.present(operand, key)
        except EvaluationError as error:
            raise _placed(error, node) from None

    def _present(self, node: Present, frame: Frame) -> bool:
        try:
            return self.evaluate(node.read, frame) is not None
        except OverBudget:
            raise
        except EvaluationError:
            return False

    # calls and logic

    def _apply(self, node: Apply, frame: Frame) -> Any:
        if node.function in _LAZY:
            first = self.evaluate(node.args[0], frame)
            if isinstance(first, OptionalValue) and first.present:
                return _LAZY[node.function](first)
            args = [first, *(self.evaluate(arg, frame) for arg in node.args[1:])]
        else:
            args = [self.evaluate(arg, frame) for arg in node.args]
        frame.budget.spend(_CALL + cost(node.function, args))
        if node.sensitive:
            return CONSTANT_TIME[node.function](*args)
        value = self.calls.call(node, args, frame.activation)
        frame.budget.allocate(value)
        return value

    def _logic(self, node: Logic, frame: Frame) -> bool:
        """One decisive operand settles it, whatever the others are, even errors; else an error stays an error."""
        decisive = node.op == "||"
        failed: EvaluationError | None = None
        for operand in node.operands:
            try:
                value = self.truth(operand, frame)
            except OverBudget:
                raise
            except EvaluationError as error:
                frame.budget.spend(ERROR)
                failed = failed or error
                continue
            if value is decisive:
                return decisive
        try:
            if failed is not None:
                raise failed
        finally:
            del failed  # its traceback holds this frame
        return not decisive

    def truth(self, node: Node, frame: Frame) -> bool:
        """The value of a node that must be true or false."""
        value = self.evaluate(node, frame)
        if value is True or value is False:
            return bool(value)
        raise EvaluationError(f"expected bool, not {self.kinds.of(value)}")

    def _conditional(self, node: Conditional, frame: Frame) -> Any:
        test = self.truth(node.test, frame)
        return self.evaluate(node.yes if test else node.no, frame)


def _placed(error: EvaluationError, node: Node) -> EvaluationError:
    error.offset = node.offset
    return error
