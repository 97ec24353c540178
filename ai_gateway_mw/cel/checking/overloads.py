"""Which overloads of a function fit the types of its arguments, and what to say when none does."""

from __future__ import annotations

from collections.abc import Callable

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.scope import Scope
from ai_gateway_mw.cel.types import DYN, Bindings, ListType, Type, assign_all, is_closed, substitute

Types = tuple[Type, ...]

_REMEMBERED = 2000  # calls whose overloads an environment remembers

_VERBS = {
    "_+_": "added", "_-_": "subtracted", "_*_": "multiplied", "_/_": "divided", "_%_": "divided",
    "_==_": "compared", "_!=_": "compared", "_<_": "compared", "_<=_": "compared", "_>_": "compared",
    "_>=_": "compared",
}  # fmt: skip


_LIST_AND_VALUE = "; take one of the list, such as [0], or look in it with `in`"


class CallError(Exception):
    """A call that cannot work; `hint` is a name that was probably meant."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def resolve(
    scope: Scope,
    name: str,
    types: Types,
    bindings: Bindings,
    fresh: Callable[[str], Type],
    *,
    member: bool,
    strict: bool,
) -> tuple[tuple[Overload, ...], Type]:
    """The overloads that may take these types, and the type of the result."""
    known = scope.functions.get(name, [])
    if not strict:
        return tuple(each for each in known if each.member is member and len(each.params) == len(types)), DYN
    key = (name, types, member)
    found = scope.resolved.get(key)
    if found is None:
        found = _resolved(scope, known, name, types, bindings, fresh, member=member)
        if len(scope.resolved) < _REMEMBERED and all(map(is_closed, (*types, found[1]))):
            scope.resolved[key] = found
    return found


def _resolved(
    scope: Scope,
    known: list[Overload],
    name: str,
    types: Types,
    bindings: Bindings,
    fresh: Callable[[str], Type],
    *,
    member: bool,
) -> tuple[tuple[Overload, ...], Type]:
    styled = [each for each in known if each.member is member]
    sized = [each for each in styled if len(each.params) == len(types)]
    if not sized:
        raise _unusable(scope, name, types, known, styled, member=member)
    fitting: list[Overload] = []
    results: list[Type] = []
    for overload in sized:
        params, result = _instance(overload, fresh)
        if assign_all(types, params, bindings):
            fitting.append(overload)
            results.append(substitute(result, bindings))
    if not fitting:
        raise _unfit(name, tuple(substitute(each, bindings, close=True) for each in types), sized, member=member)
    return tuple(fitting), results[0] if all(each == results[0] for each in results) else DYN


def _instance(overload: Overload, fresh: Callable[[str], Type]) -> tuple[Types, Type]:
    """The overload's types with type parameters of their own, so that two calls do not share them."""
    params = _params((*overload.params, overload.result))
    if not params:
        return overload.params, overload.result
    own: Bindings = {param: fresh(param.name[1:]) for param in params}
    return tuple(substitute(each, own) for each in overload.params), substitute(overload.result, own)


def _params(types: Types) -> set[Type]:
    found = {each for each in types if each.is_param}
    for each in types:
        if each.params:
            found |= _params(each.params)
    return found


def _unusable(
    scope: Scope, name: str, types: Types, known: list[Overload], styled: list[Overload], *, member: bool
) -> CallError:
    if styled:
        counts = sorted({len(each.params) - each.member for each in styled})
        given = len(types) - member
        wanted = " or ".join(map(str, counts))
        return CallError(
            f"`{name}` takes {wanted} argument{'' if counts == [1] else 's'}, not {given}: {_forms(styled)}"
        )
    if known:
        style = "is not called as a method" if member else "is called as a method"
        return CallError(f"`{name}` {style}: {_forms(known)}")
    if member and name == "get":
        return CallError("unknown function `get`; a key of a map is read as m['key']")
    return CallError(f"unknown function `{name}`", scope.meant_function(name, member=None if "." in name else member))


def _unfit(name: str, types: Types, sized: list[Overload], *, member: bool) -> CallError:
    if name in _VERBS:
        instead = _LIST_AND_VALUE if any(ListType(one) == other for one, other in (types, types[::-1])) else ""
        return CallError(f"{types[0]} and {types[1]} cannot be {_VERBS[name]} with `{name.strip('_')}`{instead}")
    if name == "_in_":
        return CallError(
            f"`in` looks for a value in a list or a key in a map; it cannot look for {types[0]} in {types[1]}"
        )
    if name == "!_":
        return CallError(
            f"`!` negates bool, not {types[0]}; it binds tighter than `in` and `==`, so use brackets: !(a in b)"
        )
    if name == "-_":
        return CallError(f"`-` negates int and double, not {types[0]}")
    given = ", ".join(map(str, types[member:]))
    receiver = f" of {types[0]}" if member else ""
    return CallError(f"`{name}`{receiver} does not take ({given}); known: {_forms(sized)}")


def _forms(overloads: list[Overload]) -> str:
    shown = [f"`{each}`" for each in overloads[:4]]
    return ", ".join(shown) + (", …" if len(overloads) > 4 else "")
