"""The page of the functions."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from random import Random
from types import ModuleType
from typing import Final

from ai_gateway_mw.cel import Overload
from ai_gateway_mw.cel.functions import (
    conversions,
    encoding,
    hashes,
    identity,
    lists,
    math,
    net,
    operators,
    optionals,
    regex,
    strings,
    time,
)
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.upstream.functions import ai_functions
from tests.policy_reference.macros import macro_sections
from tests.policy_reference.markdown import MADE, paragraph, phase_names, table, whole

FAMILIES: Final[Mapping[str, ModuleType]] = {
    "Operators": operators,
    "Types and conversions": conversions,
    "Strings": strings,
    "Regular expressions": regex,
    "Numbers": math,
    "Lists and sets": lists,
    "Time": time,
    "Encoding": encoding,
    "Hashes": hashes,
    "Network": net,
    "Optionals": optionals,
    "Names": identity,
}


def functions_page() -> str:
    """Every form of every function: the standard ones by family, then what policies and strategies add."""
    parts = [
        "# Functions",
        MADE,
        paragraph(
            "What expressions may call, in every form. What each function does, with an example:",
            "[CEL](../cel.md#functions). `A` and `B` are any type.",
        ),
        *macro_sections(),
    ]
    for title, module in FAMILIES.items():
        parts += [f"## {title}", inspect.cleandoc(module.__doc__ or ""), _forms(family(module))]
    parts += ["## The exchange", "What only a policy can call."]
    for known, forms in _of_the_exchange().items():
        parts += [f"Phases: {phase_names(known)}.", _forms(forms)]
    parts += ["## Strategies", "What [`ai-gateway`](actions/ai-gateway.md) adds for choosing models and keys."]
    return whole(*parts, _forms(ai_functions(Random())))


def family(module: ModuleType) -> tuple[Overload, ...]:
    """The one table of a module of functions."""
    (found,) = (
        value
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, tuple) and value and all(isinstance(each, Overload) for each in value)
    )
    overloads: tuple[Overload, ...] = found
    return overloads


def _of_the_exchange() -> dict[frozenset[Phase], list[Overload]]:
    """What a policy may call beyond the standard functions, by the phases that have it."""
    standard = {id(each) for module in FAMILIES.values() for each in family(module)}
    phases: dict[str, set[Phase]] = {}
    found: dict[str, Overload] = {}
    stores = Stores(Settings())
    for phase in Phase:
        for each in Runtime(stores, phase).environment.functions:
            if id(each) not in standard:
                found[str(each)] = each
                phases.setdefault(str(each), set()).add(phase)
    grouped: dict[frozenset[Phase], list[Overload]] = {}
    for form, each in found.items():
        grouped.setdefault(frozenset(phases[form]), []).append(each)
    return grouped


def _forms(overloads: Iterable[Overload]) -> str:
    """A row for all that has one name and one result."""
    rows: dict[tuple[str, str], list[str]] = {}
    for each in overloads:
        rows.setdefault((each.name, str(each.result)), []).append(f"`{_form(each)}`")
    return table(("Form", "Gives"), ((", ".join(forms), f"`{result}`") for (_, result), forms in rows.items()))


def _form(overload: Overload) -> str:
    """As it is written; operators stand between their operands."""
    if overload.name[0].isalpha():
        return str(overload)
    operator = overload.name.strip("_")
    first, *second = map(str, overload.params)
    return f"{first} {operator} {second[0]}" if second else f"{operator}{first}"
