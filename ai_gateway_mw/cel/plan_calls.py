"""Source for calls: operators as Python's own where the types allow it, functions called directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.limits import CONSTANT_WORK, Budget, work
from ai_gateway_mw.cel.moments import INT_MAX, INT_MIN
from ai_gateway_mw.cel.nodes import Apply, ListLiteral, Literal, Node
from ai_gateway_mw.cel.secrecy import CONSTANT_TIME
from ai_gateway_mw.cel.types import Type, is_open
from ai_gateway_mw.cel.values import equals

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Writer

_ORDER = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
_ARITHMETIC = {"_+_": "+", "_-_": "-", "_*_": "*"}
_LARGE, _MANY = 1024 * 1024, 16 * 1024
_EXACT_INT = 2**53  # as far as an int and the double nearest to it are the same number
_OPAQUE = frozenset({"list", "map", "timestamp", "duration", "wrapper"})


def source(writer: Writer, node: Apply) -> str:
    """Python source for a call."""
    if node.sensitive:
        return f"{writer.constant('same', CONSTANT_TIME[node.function])}({_arguments(writer, node)})"
    special = _SPECIAL.get(node.function)
    text = special(writer, node) if special else None
    return _accounted(writer, node, text or _function(writer, node))


def _arguments(writer: Writer, node: Apply) -> str:
    return ", ".join(map(writer.source, node.args))


def _function(writer: Writer, node: Apply) -> str:
    """A call of the one overload that fits, or of whichever fits the values."""
    types = [writer.type_of(arg) for arg in node.args]
    only = node.overloads[0] if len(node.overloads) == 1 else None
    if only is not None and all(map(_certain, types, only.params)):
        return _called(writer, node, only.call, contextual=only.contextual)
    if only is not None and _refuses_others(node, only, types):
        return _called(writer, node, only.call)
    return _called(writer, node, _chosen(writer, node), contextual=True)


def _chosen(writer: Writer, node: Apply) -> Callable[..., Any]:
    """A function of the activation and the arguments that applies whichever overload takes them."""
    evaluator = writer.evaluator
    return lambda activation, *args: evaluator.call(node, list(args), activation)


def _called(writer: Writer, node: Apply, call: Callable[..., Any], *, contextual: bool = False) -> str:
    args = [*(["a"] if contextual else []), *map(writer.source, node.args)]
    name = writer.constant("call", call)
    if not writer.loops or node.function in CONSTANT_WORK:
        return f"{name}({', '.join(args)})"
    writer.budgeted = True
    return f"{writer.constant('charged', charged)}(b, {node.function!r}, {', '.join([name, *args])})"


def _certain(type_: Type, param: Type) -> bool:
    """True if a value of this type is surely what the parameter wants, as Python sees it."""
    if is_open(type_) or type_.name in ("timestamp", "duration", "wrapper", "optional_type"):
        return False
    return type_.name == param.name or param.is_param or is_open(param)


def _refuses_others(node: Apply, only: Overload, types: list[Type]) -> bool:
    """Methods of `str` refuse every other receiver themselves, and so do patterns that were compiled at load."""
    if len(types) == 1:
        return node.function == "matches"
    is_method = getattr(only.call, "__objclass__", None) is str
    return is_method and len(types) == 2 and types[1].name == "string" and node.function != "split"


def _accounted(writer: Writer, node: Apply, text: str) -> str:
    """What can be large is charged to the budget inside loops; outside them, the evaluator takes over."""
    result = writer.type_of(node).name
    if result in ("bool", "int", "uint", "double", "timestamp", "duration", "type") or _is_bounded(writer, text):
        return text
    if not writer.loops:
        return f"{writer.constant('small', small)}({text})"
    writer.budgeted = True
    return f"{writer.constant('grown', grown)}(b, {text})"


def _is_bounded(writer: Writer, text: str) -> bool:
    return text.startswith("joined_") and not writer.loops


def small(value: Any) -> Any:
    """The value, if it is not large."""
    if isinstance(value, (str, bytes, list)) and len(value) > (_MANY if isinstance(value, list) else _LARGE):
        raise ValueError
    return value


def grown(budget: Budget, value: Any) -> Any:
    """The value, charged to the budget if it is of a kind that can be large."""
    budget.allocate(value)
    return value


def charged(budget: Budget, function: str, call: Callable[..., Any], *args: Any) -> Any:
    """A call inside a loop, charged for what it looks at."""
    budget.spend(2 + work(function, args))
    return call(*args)


# operators


def _equality(writer: Writer, node: Apply) -> str:
    left, right = node.args
    types = {writer.type_of(left).name, writer.type_of(right).name}
    op = node.function.strip("_")
    if types == {"string"} or any(map(_same_to_python, node.args)):
        return f"({writer.source(left)} {op} {writer.source(right)})"
    negated = "not " if op == "!=" else ""
    return f"({negated}{writer.constant('equals', equals)}({_arguments(writer, node)}))"


def _same_to_python(node: Node) -> bool:
    """Literals that Python compares with anything as CEL does: not 0 and 1, which equal False and True."""
    if not isinstance(node, Literal):
        return False
    value = node.value
    return value is None or type(value) is str or (type(value) is int and 1 < abs(value) < _EXACT_INT)


def _order(writer: Writer, node: Apply) -> str | None:
    left, right = node.args
    names = {writer.type_of(left).name, writer.type_of(right).name}
    op = _ORDER[node.function]
    if names in ({"string"}, {"int"}, {"uint"}, {"int", "uint"}, {"double"}):
        return f"({writer.source(left)} {op} {writer.source(right)})"
    if _small_number(right) and not names & _OPAQUE:
        held = writer.fresh("t")
        guard = f"({held} := {writer.source(left)}).__class__ is not bool"
        return f"({held} {op} {writer.source(right)} if {guard} else stumble())"
    if _small_number(right) and writer.type_of(left).name == "wrapper":
        return f"({writer.source(left)} {op} {writer.source(right)})"
    return None


def _small_number(node: Node) -> bool:
    return isinstance(node, Literal) and type(node.value) in (int, float) and abs(node.value) < _EXACT_INT


def _membership(writer: Writer, node: Apply) -> str | None:
    left, right = node.args
    if isinstance(right, ListLiteral) and not right.optional and right.elements:
        constants = right.elements
        if all(map(_same_to_python, constants)):
            return f"({writer.source(left)} in ({', '.join(map(writer.source, constants))},))"
    name, type_ = writer.type_of(left).name, writer.type_of(right)
    if name == "string" and type_.name == "map":
        return f"({writer.source(left)} in {writer.source(right)})"
    if writer.loops and not (isinstance(right, Literal) or type_.name == "map"):
        return None
    if name == "string" and type_.name == "list" and (type_.params[0].name == "string" or isinstance(left, Literal)):
        return f"({writer.source(left)} in {writer.source(right)})"
    if name == "string" and isinstance(left, Literal):
        return _in_whatever(writer, node)
    return None


def _in_whatever(writer: Writer, node: Apply) -> str:
    """A string in a list or the keys of a map; a string in a string is no such thing."""
    held = writer.fresh("t")
    other = writer.constant("choose", _chosen(writer, node))
    key = writer.source(node.args[0])
    plain = f"({held} := {writer.source(node.args[1])}).__class__ is dict or {held}.__class__ is list"
    return f"(({key} in {held}) if {plain} else {other}(a, {key}, {held}))"


def _arithmetic(writer: Writer, node: Apply) -> str | None:
    names = {writer.type_of(arg).name for arg in node.args}
    text = f" {_ARITHMETIC[node.function]} ".join(map(writer.source, node.args))
    if names == {"double"}:
        return f"({text})"
    if names == {"int"}:
        held = writer.fresh("t")
        return f"({held} if {INT_MIN} <= ({held} := {text}) <= {INT_MAX} else stumble())"
    if node.function == "_+_" and "string" in names and names <= {"string", "dyn"}:
        return f"{writer.constant('joined', joined)}({', '.join(_chain(writer, node))})"
    return None


def _chain(writer: Writer, node: Node) -> list[str]:
    """`a + b + c` as three parts: joining them once takes time in proportion to the result."""
    if isinstance(node, Apply) and node.function == "_+_" and writer.type_of(node).name == "string":
        return [part for arg in node.args for part in _chain(writer, arg)]
    return [writer.source(node)]


def joined(*parts: str) -> str:
    """Strings one after the other; anything else makes it stumble."""
    text = "".join(parts)
    if len(text) > _LARGE:
        raise ValueError
    return text


def _not(writer: Writer, node: Apply) -> str:
    return f"(not {writer.boolean(node.args[0])})"


def _size(writer: Writer, node: Apply) -> str | None:
    certain = writer.type_of(node.args[0]).name in ("string", "bytes", "list", "map")
    return f"len({writer.source(node.args[0])})" if certain else None


def _contains(writer: Writer, node: Apply) -> str | None:
    if writer.loops or any(writer.type_of(arg).name != "string" for arg in node.args):
        return None
    return f"({writer.source(node.args[1])} in {writer.source(node.args[0])})"


def _method(name: str) -> Callable[[Writer, Apply], str | None]:
    def write(writer: Writer, node: Apply) -> str | None:
        if any(writer.type_of(arg).name != "string" for arg in node.args):
            return None
        return f"{writer.source(node.args[0])}.{name}({writer.source(node.args[1])})"

    return write


_SPECIAL: dict[str, Callable[[Writer, Apply], str | None]] = {
    "_==_": _equality,
    "_!=_": _equality,
    **dict.fromkeys(_ORDER, _order),
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    "_in_": _membership,
    "!_": _not,
    "size": _size,
    "contains": _contains,
    "startsWith": _method("startswith"),
    "endsWith": _method("endswith"),
}
