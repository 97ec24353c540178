"""The macros of the page of functions: every form in which one may be written, with an example that is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tests.policy_reference.markdown import paragraph, table


class Macro(NamedTuple):
    """One form of a macro, what it gives, and an example with its value."""

    form: str
    doc: str
    example: str
    value: str


MACROS: Final[Mapping[str, tuple[Macro, ...]]] = {
    "Is it there": (
        Macro("has(a.b)", "true if there is such a field or key", "has({'a': null}.a)", "true"),
        Macro("has(a['b'])", "the same for keys that are no names", "has({'x-a': 1}['x-b'])", "false"),
    ),
    "Of each element": (
        Macro("list.all(x, test)", "true if the test is true of every element", "[1, 2].all(n, n > 0)", "true"),
        Macro("list.exists(x, test)", "true if it is true of some element", "[0, 2].exists(n, 4 / n == 2)", "true"),
        Macro("list.exists_one(x, test)", "true if it is true of just one", "[1, 2, 2].exists_one(n, n == 2)", "false"),
        Macro("list.existsOne(x, test)", "the same", "[1, 2].existsOne(n, n == 2)", "true"),
        Macro("list.filter(x, test)", "the elements of which it is true", "[1, 2, 3].filter(n, n > 1)", "[2, 3]"),
        Macro("list.map(x, value)", "a value for every element", "['a', 'b'].map(s, s + '!')", "['a!', 'b!']"),
        Macro(
            "list.map(x, test, value)",
            "a value for every element of which the test is true",
            "[1, 2, 3].map(n, n > 1, n * 10)",
            "[20, 30]",
        ),
        Macro(
            "list.sortBy(x, key)",
            "the elements by a key, the smallest first; equal ones keep their order",
            "['bb', 'a', 'cc'].sortBy(s, size(s))",
            "['a', 'bb', 'cc']",
        ),
        Macro("list.minBy(x, key)", "the first with the smallest key (ours)", "[3, -4].minBy(n, n * n)", "3"),
        Macro("list.maxBy(x, key)", "the first with the largest key (ours)", "[3, -4].maxBy(n, n * n)", "-4"),
    ),
    "With two variables": (
        Macro("list.all(i, x, test)", "as with one", "[0, 1].all(i, n, i == n)", "true"),
        Macro("map.exists(k, v, test)", "as with one", "{'a': 1}.exists(k, v, k == 'a' && v == 1)", "true"),
        Macro("map.exists_one(k, v, test)", "as with one", "{'a': 1, 'b': 1}.exists_one(k, v, v == 1)", "false"),
        Macro("map.existsOne(k, v, test)", "the same", "{'a': 1, 'b': 2}.existsOne(k, v, v == 1)", "true"),
        Macro("list.transformList(i, x, value)", "a list", "[5, 6].transformList(i, n, i * n)", "[0, 6]"),
        Macro(
            "list.transformList(i, x, test, value)",
            "a list, of what passes the test",
            "{'a': 1, 'b': 2}.transformList(k, v, v > 1, k)",
            "['b']",
        ),
        Macro(
            "map.transformMap(k, v, value)",
            "a map with the same keys",
            "{'a': 1}.transformMap(k, v, v * 2)",
            "{'a': 2}",
        ),
        Macro(
            "map.transformMap(k, v, test, value)",
            "a map with those keys that pass the test",
            "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2)",
            "{'b': 4}",
        ),
        Macro(
            "map.transformMapEntry(k, v, entry)",
            "a map of other entries; the same key twice is an error",
            "{'a': 'b'}.transformMapEntry(k, v, {v: k})",
            "{'b': 'a'}",
        ),
        Macro(
            "map.transformMapEntry(k, v, test, entry)",
            "a map of entries made of those that pass the test",
            "{'a': 1, 'b': 2}.transformMapEntry(k, v, v > 1, {v: k})",
            "{2: 'b'}",
        ),
    ),
    "Of optionals": (
        Macro(
            "optional_type.optMap(x, value)",
            "a value made of the one that is there; nothing of nothing",
            "{'a': 2}[?'a'].optMap(n, n * n)",
            "optional.of(4)",
        ),
        Macro(
            "optional_type.optFlatMap(x, optional)",
            "the same, where what is made is an optional again",
            "optional.of({'a': 1}).optFlatMap(m, m.?b)",
            "optional.none()",
        ),
    ),
    "Names and numbers": (
        Macro("cel.bind(x, value, expression)", "names a value", "cel.bind(n, 3 + 4, n * n)", "49"),
        Macro("math.greatest(a, b, …)", "the greatest of any number", "math.greatest(1, 2.5, 2u)", "2.5"),
        Macro("math.least(a, b, …)", "the least of any number", "math.least(3, -1, 2)", "-1"),
    ),
    "For optimizers": (
        Macro(
            "cel.block([a, b], expression)",
            "names parts that are used more than once",
            "cel.block([3, cel.index(0) + 1], cel.index(1))",
            "4",
        ),
        Macro("cel.index(n)", "the nth of these parts, from 0", "cel.block([5], cel.index(0))", "5"),
        Macro(
            "cel.iterVar(depth, n)",
            "a variable of a macro by its number",
            "[1, 2].map(cel.iterVar(0, 0), cel.iterVar(0, 0) + 1)",
            "[2, 3]",
        ),
        Macro("cel.accuVar(depth, n)", "another such name", "[1].map(cel.accuVar(0, 0), cel.accuVar(0, 0))", "[1]"),
    ),
}

_ABOUT: Final[Mapping[str, tuple[str, ...]]] = {
    "Is it there": ("No error where it is not; what it is asked of has to be there.",),
    "Of each element": (
        "`x` is a name of your own. Of a map, `x` is a key, and `filter` gives a list of keys. With `all` and `exists`",
        "an error of one element counts only if no other element decides; elsewhere it is one of the whole.",
    ),
    "With two variables": ("Of a list, the first is the index, from 0; of a map they are key and value.",),
    "Of optionals": ("[Optionals](#optionals) have the functions beside them.",),
}


def macro_sections() -> Iterator[str]:
    """Headings, what the macros of each have in common, and a row for each form."""
    yield "## Macros"
    yield paragraph(
        "Calls whose arguments are expressions: these are evaluated for each element, or only where they are needed.",
    )
    for title, macros in MACROS.items():
        yield f"### {title}"
        if title in _ABOUT:
            yield paragraph(*_ABOUT[title])
        cells = ((f"`{each.form}`", each.doc, f"`{each.example}`", f"`{each.value}`") for each in macros)
        yield table(("Form", "Meaning", "Example", "Gives"), cells)
