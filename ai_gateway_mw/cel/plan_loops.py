"""Source for the macros that walk: one generated function each, which the expression calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.nodes import Comprehension, Node, children
from ai_gateway_mw.cel.plan_lenient import forgiving

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Writer

# A node costs so much less here than a step of the evaluator.
_CHEAPER = 8

# What is done before the elements, with an element whose test is true (or false, for `all`), and after them.
_SHAPES = {
    "exists": ("", "return True", "return False"),
    "all": ("", "return False", "return True"),
    "exists_one": ("n = 0", "n += 1", "return n == 1"),
    "filter": ("out = []", "out.append({element})", "return out"),
    "map": ("out = []", "out.append({result})", "return out"),
}


def loop(writer: Writer, node: Comprehension) -> str:
    """A call of a function that is written here; other macros, and two variables, are left to the evaluator."""
    if node.kind not in _SHAPES or len(node.variables) != 1 or (node.test and node.result and _walks(node.result[0])):
        return writer.ask(node)
    range_ = writer.source(node.range)
    outer = list(writer.locals.values())
    name, element = writer.fresh("loop"), writer.fresh("v")
    writer.locals[node.variables[0]] = element
    writer.loops.append(name)
    lines = _body(writer, node, element)
    writer.loops.pop()
    del writer.locals[node.variables[0]]
    params = ["a", "b", "r", *outer]
    writer.helpers.append(f"def {name}({', '.join(params)}):\n" + "".join(f"    {line}\n" for line in lines))
    return f"{name}(a, {_budget(writer)}, {', '.join([range_, *outer])})"


def _body(writer: Writer, node: Comprehension, element: str) -> list[str]:
    before, found, after = _SHAPES[node.kind]
    result = writer.source(node.result[0]) if node.result else ""
    found = found.format(element=element, result=result)
    return [
        f"if r.__class__ is not list: {writer.constant('walkable', walkable)}(r)",
        _charge(writer, node),
        *([before] if before else []),
        f"for {element} in r:",
        *(f"    {line}" for line in _step(writer, node, found)),
        after,
    ]


def _step(writer: Writer, node: Comprehension, found: str) -> list[str]:
    """What happens to one element."""
    if node.test is None:
        return [found]
    negated = "not " if node.kind == "all" else ""
    lenient = writer.evaluator.lenient
    test_source = forgiving(writer, node.test) if lenient else writer.boolean(node.test)
    lines = [f"if {negated}{test_source}: {found}"]
    if not lenient or any(map(_walks, (node.test, *node.result))):
        return lines
    evaluator = writer.evaluator
    test = writer.constant("test", lambda activation, **locals_: evaluator.run_test(node, activation, locals_))
    passed = "".join(f", {known}={variable}" for known, variable in writer.passed())
    guarded = ["try:", *(f"    {line}" for line in lines), "except OverBudget:", "    raise", "except Exception:"]
    return [*guarded, f"    if {negated}{test}(a{passed}): {found}"]


def _charge(writer: Writer, node: Comprehension) -> str:
    """A walk on its own may only be so long; one inside another is charged to the budget that they share."""
    weight = sum(map(_weight, (each for each in (node.test, *node.result) if each is not None)))
    if len(writer.loops) > 1 or writer.budgeted:
        writer.budgeted = True
        return f"b.spend(len(r) * {weight} // {_CHEAPER} + 1)"
    return f"if len(r) > {max(1, 2 * writer.evaluator.steps // weight)}: stumble()"


def _budget(writer: Writer) -> str:
    return "b" if writer.budgeted or writer.loops else "None"


def _weight(node: Node) -> int:
    return 1 + sum(map(_weight, children(node)))


def _walks(node: Node) -> bool:
    return isinstance(node, Comprehension) or any(map(_walks, children(node)))


def walkable(range_: Any) -> None:
    """Strings can be walked in Python but not in CEL."""
    if not isinstance(range_, (list, tuple, Mapping)):
        raise TypeError
