"""Source for calls of functions: directly where one overload surely fits, else by the classes of the values; and never
without a bound on what the function looks at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.costs import STEP, cost, grows_with_numbers, longest_free
from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.limits import Budget
from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.nodes import Apply, Literal, Node
from ai_gateway_mw.cel.patterns import finder, time_per_character
from ai_gateway_mw.cel.planning import optionals
from ai_gateway_mw.cel.planning.guards import charging, grown, sharing, small
from ai_gateway_mw.cel.planning.operators import OPERATORS
from ai_gateway_mw.cel.planning.times import TIMES
from ai_gateway_mw.cel.secrecy import CONSTANT_TIME
from ai_gateway_mw.cel.types import Type, is_open
from ai_gateway_mw.cel.values import UInt, adapted

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Rule, Writer

# What these make may be much larger than what they look at.
_EXPANDING = frozenset({"replace", "regex.replace", "join", "format"})
_SIZED = frozenset({"string", "bytes", "list", "map"})
_TIMED = frozenset({"timestamp", "duration"})
_HOSTS = frozenset({datetime, timedelta})  # which functions do not take as they are
_SINGLE = frozenset({type(None), bool, int, UInt, float, Timestamp, Duration})
_UNBOUNDED = 2**60


def _apply(writer: Writer, node: Apply) -> str:
    if node.sensitive:
        args = ", ".join(map(writer.source, node.args))
        return f"{writer.constant('same', CONSTANT_TIME[node.function])}({args})"
    special = _SPECIAL.get(node.function) if node.overloads else None
    text = special(writer, node) if special else None
    return text or _function(writer, node)


def _function(writer: Writer, node: Apply) -> str:
    """A call of the one overload that fits, or of whichever fits the values."""
    types = [writer.type_of(arg) for arg in node.args]
    only = node.overloads[0] if len(node.overloads) == 1 else None
    if only is None or not (all(map(_certain, types, only.params)) or _refuses_others(only, types)):
        return _chosen(writer, node)
    sources = list(map(writer.source, node.args))
    if any(type_.name in _TIMED for type_ in types):
        adapt = writer.constant("adapted", adapted)
        sources = [
            f"{adapt}({text})" if type_.name in _TIMED else text for text, type_ in zip(sources, types, strict=True)
        ]
    if only.contextual:
        sources = ["a", *sources]
    return _expanding(writer, node, bounded(writer, node, only.call, sources, contextual=only.contextual))


def _certain(type_: Type, param: Type) -> bool:
    """True if a value of this type is surely what the parameter wants, as Python sees it."""
    if is_open(type_) or type_.name in ("wrapper", "optional_type"):
        return False
    return type_.name == param.name or param.is_param or is_open(param)


def _refuses_others(only: Overload, types: list[Type]) -> bool:
    """Methods of `str` refuse every other receiver themselves."""
    is_method = getattr(only.call, "__objclass__", None) is str
    return is_method and all(type_.name == "string" for type_ in types[1:])


def bounded(
    writer: Writer, node: Apply, call: Callable[..., Any], sources: list[str], *, contextual: bool = False
) -> str:
    """A call that looks at no more than its share of the budget allows; inside loops it is charged instead."""
    name, function = writer.constant("call", call), node.function
    texts = all(writer.type_of(arg).name == "string" for arg in node.args)
    most = longest_free(function, 2 if writer.loops else writer.share.steps, texts=texts)
    held = list(sources)
    lengths = []
    for place, arg in enumerate(node.args, start=int(contextual)):
        if not isinstance(arg, Literal) and (writer.type_of(arg).name in _SIZED or is_open(writer.type_of(arg))):
            held[place] = writer.fresh("t")
            lengths.append(f"len({held[place]} := {sources[place]})")
    counted = grows_with_numbers(function)
    if not counted and (not lengths or most >= _UNBOUNDED):
        return f"{name}({', '.join(sources)})"
    if contextual or most == 0 or counted:
        return f"{_slow(writer, function, call)}({', '.join(sources)})"
    return f"({name} if {' + '.join(lengths)} <= {most} else {_other(writer, function, call)})({', '.join(held)})"


def _other(writer: Writer, function: str, call: Callable[..., Any]) -> str:
    return _slow(writer, function, call) if writer.loops else "stumble()"


def _slow(writer: Writer, function: str, call: Callable[..., Any]) -> str:
    """The call with its exact cost."""
    if not writer.loops:
        return writer.constant("sharing", sharing(function, call, writer.share))
    return f"{writer.constant('charging', charging(function, call))}({writer.budget()})"


def _expanding(writer: Writer, node: Apply, text: str) -> str:
    if node.function not in _EXPANDING:
        return text
    if writer.loops:
        return f"{writer.constant('grown', grown)}({writer.budget()}, {text})"
    return f"{writer.constant('small', small)}({text}, {writer.share.size})"


def _chosen(writer: Writer, node: Apply) -> str:
    args = "".join(f", {writer.source(arg)}" for arg in node.args)
    budget = writer.budget() if writer.loops else "None"
    return f"{writer.constant('choose', _choosing(writer, node))}(a, {budget}{args})"


def _choosing(writer: Writer, node: Apply) -> Callable[..., Any]:
    """Applies the overload that takes the values; which one that is depends on their classes alone."""
    calls, share = writer.evaluator.calls, writer.share
    is_free = longest_free(node.function, 0) >= _UNBOUNDED
    bare: dict[tuple[type, ...], Callable[..., Any]] = {}

    def learn(classes: tuple[type, ...], args: list[Any]) -> None:
        """Remembers what needs neither the activation nor a look at how large the values are."""
        overload = calls.overload(node, args)
        simple = is_free or _SINGLE.issuperset(classes)
        if overload is not None and simple and not overload.contextual and _HOSTS.isdisjoint(classes):
            bare[classes] = overload.call

    def choose(activation: Any, budget: Budget | None, *args: Any) -> Any:
        classes = tuple(map(type, args))
        call = bare.get(classes)
        if call is not None:
            return call(*args)
        learn(classes, list(args))
        steps = cost(node.function, args)
        if budget is None:
            share.check(steps)
            return calls.call(node, list(args), activation)
        budget.spend(steps)
        return grown(budget, calls.call(node, list(args), activation))

    return choose


def _matches(writer: Writer, node: Apply) -> str | None:
    """With a literal pattern: prepared once."""
    text, pattern = node.args
    if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
        return None
    most = (2 if writer.loops else writer.share.steps) * STEP // (3 * time_per_character(pattern.value))
    find, held = writer.constant("find", finder(pattern.value)), writer.fresh("t")
    other = "stumble()"
    if writer.loops:
        slow = charging(node.function, node.overloads[0].call, pattern.value)
        other = f"{writer.constant('charging', slow)}({writer.budget()})"
    return f"({find} if len({held} := {writer.source(text)}) <= {most} else {other})({held})"


_SPECIAL: dict[str, Callable[[Writer, Apply], str | None]] = {
    **OPERATORS,
    **TIMES,
    "matches": _matches,
    "or": optionals.alternative,
    "orValue": optionals.or_value,
    "hasValue": optionals.has_value,
    "optional.of": optionals.made,
}
CALLS: dict[type[Node], Rule] = {Apply: _apply}
