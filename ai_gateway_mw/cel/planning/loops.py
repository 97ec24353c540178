"""Source for the macros that walk: one generated function each, which the expression calls; and for `cel.bind`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_gateway_mw.cel.costs import base_cost
from ai_gateway_mw.cel.folds import Walk
from ai_gateway_mw.cel.nodes import Apply, Bind, Comprehension, Node, children
from ai_gateway_mw.cel.ordering import extreme, keyless_last, ordered, present
from ai_gateway_mw.cel.planning.guards import in_pairs, walkable
from ai_gateway_mw.cel.planning.leniency import forgiving, forgiving_value
from ai_gateway_mw.cel.types import is_open
from ai_gateway_mw.cel.values import map_of, merged

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Rule, Writer

# So many nodes here cost as much as one step of the evaluator; and so many does a call count for.
_CHEAPER, _CALL = 8, 16

# What is done before the elements, with an element whose test is true (or false, for `all`), and after them.
_SHAPES = {
    "exists": ("", "return True", "return False"),
    "all": ("", "return False", "return True"),
    "exists_one": ("out = 0", "out += 1", "return out == 1"),
    "filter": ("out = []", "out.append({element})", "return out"),
    "map": ("out = []", "out.append({result})", "return out"),
    "transformMap": ("out = []", "out.append(({element}, {result}))", "return map_of(out)"),
    "transformMapEntry": ("out = []", "out.append({result})", "return merged(out)"),
    "sortBy": ("out = []", "out.append(({result}, {element}))", "return [pair[1] for pair in ordered(out)]"),
    "minBy": ("out = []", "out.append(({result}, {element}))", "return extreme(out, 0)"),
    "maxBy": ("out = []", "out.append(({result}, {element}))", "return extreme(out, -1)"),
}
AFTERWARDS = {
    "map_of": map_of, "merged": merged, "ordered": ordered, "extreme": extreme, "present": present,
    "keyless_last": keyless_last,
}  # fmt: skip
_KEYED = frozenset({"sortBy", "minBy", "maxBy"})
_LENIENT = {
    "sortBy": "return keyless_last(out)",
    "minBy": "return extreme(present(out), 0)",
    "maxBy": "return extreme(present(out), -1)",
}


def _walk(writer: Writer, node: Comprehension) -> str:
    """A call of a function that is written here."""
    range_ = writer.source(node.range)
    outer = list(writer.locals.values())
    name, variables = writer.fresh("loop"), [writer.fresh("v") for _ in node.variables]
    writer.locals.update(zip(node.variables, variables, strict=True))
    writer.loops.append(name)
    lines = _body(writer, node, variables)
    writer.loops.pop()
    for each in node.variables:
        del writer.locals[each]
    writer.helpers.append(
        f"def {name}({', '.join(['a', 'b', 'r', *outer])}):\n" + "".join(f"    {each}\n" for each in lines)
    )
    return f"{name}(a, {'b' if writer.budgeted else 'None'}, {', '.join([range_, *outer])})"


def _body(writer: Writer, node: Comprehension, variables: list[str]) -> list[str]:
    before, found, after = _SHAPES[node.kind]
    lenient = node.kind in _KEYED and writer.evaluator.lenient
    if lenient:
        lines, after = _keyed(writer, node, variables[0]), _LENIENT[node.kind]
    else:
        result = writer.source(node.result[0]) if node.result else ""
        lines = _step(writer, node, found.format(element=variables[0], result=result))
    pairs = f"enumerate(r) if r.__class__ is list else {writer.constant('in_pairs', in_pairs)}(r)"
    return [
        f"if r.__class__ is not list: {writer.constant('walkable', walkable)}(r)",
        _charge(writer, node),
        *([before] if before else []),
        f"for {', '.join(variables)} in {pairs if len(variables) > 1 else 'r'}:",
        *(f"    {line}" for line in lines),
        after,
    ]


def _keyed(writer: Writer, node: Comprehension, element: str) -> list[str]:
    """An element with its key, or with None where that fails."""
    key = writer.fresh("t")
    return [
        f"try: {key} = {forgiving_value(writer, node.result[0])}",
        "except OverBudget: raise",
        f"except Exception: {key} = {writer.walking(node, Walk.key)}",
        f"out.append(({key}, {element}))",
    ]


def _step(writer: Writer, node: Comprehension, found: str) -> list[str]:
    """What happens to one element."""
    if node.test is None:
        return [found]
    negated = "not " if node.kind == "all" else ""
    if not writer.evaluator.lenient:
        return [f"if {negated}{writer.boolean(node.test)}: {found}"]
    tested = writer.fresh("t")
    return [
        f"try: {tested} = {forgiving(writer, node.test)}",
        "except OverBudget: raise",
        f"except Exception: {tested} = {writer.walking(node, Walk.test)}",
        f"if {negated}{tested}: {found}",
    ]


def _charge(writer: Writer, node: Comprehension) -> str:
    """A walk on its own may only be so long; one inside another is charged to the budget that they share."""
    weight = 1 + sum(_weight(writer, each) for each in (node.test, *node.result) if each is not None)
    if node.kind in _KEYED:
        weight += _CALL
    if len(writer.loops) > 1 or writer.budgeted:
        return f"{writer.budget()}.spend(len(r) * {weight} // {_CHEAPER} + 1)"
    return f"if len(r) > {max(1, writer.evaluator.limits.steps * _CHEAPER // weight)}: stumble()"


def _weight(writer: Writer, node: Node) -> int:
    """What a node takes, for each element; a walk inside is charged for itself."""
    if isinstance(node, Comprehension):
        return _CALL + _weight(writer, node.range)
    return _own_weight(writer, node) + sum(_weight(writer, child) for child in children(node))


def _own_weight(writer: Writer, node: Node) -> int:
    if not isinstance(node, Apply):
        return 1
    if node.function[0] in "_!" and not any(is_open(writer.type_of(arg)) for arg in node.args):
        return 1
    return _CALL + _CHEAPER * base_cost(node.function)


def _bind(writer: Writer, node: Bind) -> str:
    value, variable = writer.source(node.value), writer.fresh("v")
    writer.locals[node.name] = variable
    body = writer.source(node.body)
    del writer.locals[node.name]
    return f"(({variable} := {value}), {body})[1]"


MACROS: dict[type[Node], Rule] = {Comprehension: _walk, Bind: _bind}
