"""Environments, which say what expressions may use, and the expressions made in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ai_gateway_mw.cel.checker import check
from ai_gateway_mw.cel.declarations import Kinds, Overload, Variable, object_types
from ai_gateway_mw.cel.evaluator import Evaluator
from ai_gateway_mw.cel.explaining import Observer, Watching
from ai_gateway_mw.cel.folding import folded
from ai_gateway_mw.cel.functions import STANDARD_FUNCTIONS
from ai_gateway_mw.cel.limits import Limits
from ai_gateway_mw.cel.nodes import Apply, Literal, Node, children
from ai_gateway_mw.cel.parser import parse
from ai_gateway_mw.cel.planner import plan
from ai_gateway_mw.cel.problems import EvaluationError, ExpressionError
from ai_gateway_mw.cel.scope import Scope
from ai_gateway_mw.cel.types import ObjectType, Type, is_open


class Expression:
    """An expression, checked and ready: call it with an activation to get its value, or EvaluationError.

    `variables` and `functions` are the declared names that it uses, `selects` the paths that it reads as far as they
    are written out (`req.body.model`); `sensitive` says that it calls a function which gives out secrets, and
    `secrets` holds the arguments of those calls where they are written out. `settled` says that its value changes only
    when one of those secrets does: it reads nothing else. `run` is what a call runs, for those who call it often.
    """

    __slots__ = ("functions", "run", "secrets", "selects", "sensitive", "settled", "text", "type", "variables")

    def __init__(
        self,
        text: str,
        type_: Type,
        run: Callable[[Any], Any],
        *,
        variables: Iterable[str],
        functions: Iterable[str],
        selects: Iterable[str],
        sensitive: bool,
        secrets: Iterable[tuple[Any, ...]],
        settled: bool,
    ) -> None:
        self.text = text
        self.type = type_
        self.variables = frozenset(variables)
        self.functions = frozenset(functions)
        self.selects = frozenset(selects)
        self.sensitive = sensitive
        self.secrets = frozenset(secrets)
        self.settled = settled
        self.run = run

    def __call__(self, activation: Any) -> Any:
        return self.run(activation)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


class Environment:
    """The variables, functions and object types that expressions may use; immutable.

    `container` is the namespace in which names are looked up first. `lenient` makes a test or key inside a macro that
    fails count as false or as absent instead of failing the expression. An `observer` is told of every evaluation, part
    by part: expressions are then walked by the evaluator instead of being planned.
    """

    def __init__(
        self,
        *,
        variables: Iterable[Variable] = (),
        functions: Iterable[Overload] = STANDARD_FUNCTIONS,
        types: Iterable[ObjectType] = (),
        container: str = "",
        lenient: bool = False,
        limits: Limits | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.observer = observer
        self.variables: Mapping[str, Variable] = {each.name: each for each in variables}
        self.functions = tuple(functions)
        self.types = tuple(types)
        self.container = container
        self.lenient = lenient
        self.limits = limits or Limits()
        self._scope = Scope(self.variables, self.functions, container)
        self._kinds = Kinds(object_types([*self.types, *(each.type for each in self.variables.values())]))

    def extend(
        self,
        *,
        variables: Iterable[Variable] = (),
        functions: Iterable[Overload] = (),
        types: Iterable[ObjectType] = (),
        lenient: bool | None = None,
    ) -> Environment:
        """An environment with more in it; a variable of the same name replaces the one that was there."""
        return Environment(
            variables=[*self.variables.values(), *variables],
            functions=[*self.functions, *functions],
            types=[*self.types, *types],
            container=self.container,
            lenient=self.lenient if lenient is None else lenient,
            limits=self.limits,
            observer=self.observer,
        )

    def expression(self, text: str, *, expect: Type | None = None, check_types: bool = True) -> Expression:
        """The text, parsed, checked and planned; raises ExpressionError with everything that is wrong with it.

        `expect` is the type that the value must have. Without `check_types` unknown names and wrong types are found
        only when they are reached, as CEL allows.
        """
        checked = check(parse(text, self.limits), self._scope, self.limits, expect, strict=check_types)
        if checked.problems:
            raise ExpressionError(text, checked.problems)
        evaluator = Evaluator(self._kinds, self.limits, lenient=self.lenient)
        root = folded(checked, evaluator)
        type_ = checked.types[checked.root]
        run = plan(root, checked, evaluator)
        if self.observer is not None:
            run = Watching(
                text, checked.root, checked.secret, self.observer, self._kinds, self.limits, lenient=self.lenient
            )
        if expect is not None and is_open(type_) and not is_open(expect):
            run = _expecting(expect, run, self._kinds)
        return Expression(
            text,
            type_,
            run,
            variables=checked.variables,
            functions=(name for name in checked.functions if name[0].isalpha()),
            selects=checked.selects,
            sensitive=checked.sensitive,
            secrets=_secrets(checked.root),
            settled=not checked.variables and _is_settled(checked.root),
        )


def _calls(root: Node) -> Iterator[Apply]:
    pending = [root]
    while pending:
        node = pending.pop()
        pending += children(node)
        if isinstance(node, Apply):
            yield node


def _gives_secrets(call: Apply) -> bool:
    return any(each.sensitive for each in call.overloads)


def _is_written_out(call: Apply) -> bool:
    return all(isinstance(arg, Literal) for arg in call.args)


def _secrets(root: Node) -> Iterator[tuple[Any, ...]]:
    """The literal arguments of every call of a sensitive function."""
    for call in _calls(root):
        if _gives_secrets(call) and _is_written_out(call):
            yield tuple(arg.value for arg in call.args if isinstance(arg, Literal))


def _is_settled(root: Node) -> bool:
    """Whether no call reads the activation, and it is known of each secret which one it is."""
    return not any(
        any(each.contextual for each in call.overloads) or (_gives_secrets(call) and not _is_written_out(call))
        for call in _calls(root)
    )


def _expecting(expect: Type, run: Callable[[Any], Any], kinds: Kinds) -> Callable[[Any], Any]:
    """Holds the value to the type that could not be checked before."""
    wanted = expect.params[0].name if expect.name == "wrapper" else expect.name

    def checked(activation: Any) -> Any:
        value = run(activation)
        kind = kinds.of(value)
        if kind == wanted or (value is None and expect.name == "wrapper"):
            return value
        raise EvaluationError(f"expected {expect}, not {kind}")

    return checked
