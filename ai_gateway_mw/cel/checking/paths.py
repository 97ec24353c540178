"""Names, fields, indexes and `has`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ai_gateway_mw.cel.declarations import Variable
from ai_gateway_mw.cel.nodes import Has, Index, Literal, Local, Name, Node, Present, Read, Select, Unknown
from ai_gateway_mw.cel.problems import closest
from ai_gateway_mw.cel.scope import chain, spelled
from ai_gateway_mw.cel.types import (
    BOOL,
    DYN,
    INT,
    STRING,
    ObjectType,
    OptionalType,
    Type,
    is_open,
    unwrapped,
    with_article,
)

if TYPE_CHECKING:
    from ai_gateway_mw.cel.checker import Checker, Rule, Typed


def _path(checker: Checker, node: Name | Select) -> Typed:
    parts = chain(node)
    if parts is None:
        assert isinstance(node, Select)
        operand, type_ = checker.check(node.operand)
        return _field(checker, node, operand, type_)
    base, type_, rest = _longest(checker, parts)
    checker.out.types[base] = type_
    for select in rest:
        assert isinstance(select, Select)
        base, type_ = _field(checker, select, base, type_)
        checker.out.types[base] = type_ if checker.strict else DYN
    _note_select(checker, parts)
    return base, type_


def _longest(checker: Checker, parts: list[Name | Select]) -> tuple[Node, Type, Sequence[Name | Select]]:
    """The declared name that is the longest beginning of a chain, and what follows it."""
    root = parts[0]
    assert isinstance(root, Name)
    local = None if root.absolute else checker.locals.get(root.name)
    if local is not None:
        node = Local(root.offset, root.length, local[0])
        if local[0] in checker.secret_locals:
            checker.secret.add(node)
        return node, local[1], parts[1:]
    for end in range(len(parts), 0, -1):
        found = _declared(checker, spelled(parts[:end]), parts, end)
        if found is not None:
            return *found, parts[end:]
    return _undeclared(checker, parts), DYN, ()


def _declared(checker: Checker, name: str, parts: list[Name | Select], end: int) -> Typed | None:
    place, length = parts[0].offset, parts[end - 1].offset + parts[end - 1].length - parts[0].offset
    variable = checker.scope.variable(name)
    if variable is not None:
        checker.out.variables.add(variable.name)
        return Read(place, length, variable), variable.type
    constant = checker.scope.constant(name)
    return (Literal(place, length, constant[0]), constant[1]) if constant else None


def _undeclared(checker: Checker, parts: list[Name | Select]) -> Node:
    name, root = spelled(parts), parts[0]
    hint = checker.scope.meant_name(name)
    for end in range(len(parts) - 1, 0, -1):
        hint = hint or checker.scope.meant_name(spelled(parts[:end]))
    length = parts[-1].offset + parts[-1].length - root.offset
    checker.problem(Name(root.offset, length, name), f"unknown name `{name}`", hint)
    return Unknown(root.offset, length, name)


def _note_select(checker: Checker, parts: list[Name | Select]) -> None:
    root = parts[0]
    assert isinstance(root, Name)
    if root.name not in checker.locals:
        checker.out.selects.add(spelled(parts).removeprefix("."))


def _field(checker: Checker, node: Select, operand: Node, type_: Type) -> Typed:
    made = Select(node.offset, node.length, operand, node.field, node.optional)
    result = _field_type(checker, made, unwrapped(checker.known(type_)))
    if node.optional and result.name != "optional_type":
        result = OptionalType(result)
    if operand in checker.secret:
        checker.secret.add(made)
    return made, result


def _field_type(checker: Checker, node: Select, type_: Type) -> Type:
    if isinstance(type_, ObjectType):
        known = type_.fields.get(node.field)
        if known is None:
            hint = closest(node.field, type_.fields)
            checker.problem(node, f"{type_.name} has no field `{node.field}`", hint)
        return known or DYN
    if type_.name == "map":
        checker.need(node, STRING, type_.params[0], "this map's keys are {wanted}, not names")
        return type_.params[1]
    if type_.name == "optional_type":
        return OptionalType(_field_type(checker, node, type_.params[0]))
    if is_open(type_) or type_.is_param:
        return DYN
    return _no_fields(checker, node, type_)


def _no_fields(checker: Checker, node: Select, type_: Type) -> Type:
    owner, hint = with_article(checker.shown(type_)), ""
    if isinstance(node.operand, Read):
        name = node.operand.variable.name
        owner, hint = f"`{name}` is {owner}, which", checker.scope.meant_field(name, node.field)
    checker.problem(node, f"{owner} has no field `{node.field}`", hint)
    return DYN


def _index(checker: Checker, node: Index) -> Typed:
    operand, type_ = checker.check(node.operand)
    key, key_type = checker.check(node.key)
    made = Index(node.offset, node.length, operand, key, node.optional)
    result = _element_type(checker, made, checker.known(type_), key_type)
    if node.optional and result.name != "optional_type":
        result = OptionalType(result)
    if isinstance(key, Literal) and isinstance(key.value, str):
        _note_key(checker, node.operand, key.value)
    return made, result


def _note_key(checker: Checker, operand: Node, key: str) -> None:
    parts = chain(operand)
    if parts and isinstance(parts[0], Name) and parts[0].name not in checker.locals:
        checker.out.selects.add(f"{spelled(parts).removeprefix('.')}.{key}")


def _element_type(checker: Checker, node: Index | Has, type_: Type, key_type: Type) -> Type:
    if type_.name == "list":
        checker.need(node.key, key_type, INT, "a list is indexed by int, not {actual}")
        return type_.params[0]
    if type_.name == "map":
        checker.need(node.key, key_type, type_.params[0], "the keys of this map are {wanted}, not {actual}")
        return type_.params[1]
    if type_.name == "optional_type":
        return OptionalType(_element_type(checker, node, type_.params[0], key_type))
    if not is_open(type_) and not type_.is_param:
        use = "; use charAt or substring" if type_ == STRING else ""
        checker.problem(node, f"{with_article(checker.shown(type_))} cannot be indexed{use}")
    return DYN


def _has(checker: Checker, node: Has) -> Typed:
    if isinstance(node.key, Literal) and isinstance(node.key.value, str):
        select = Select(node.key.offset, node.key.length, node.operand, node.key.value)
        variable = _as_variable(checker, select)
        if variable is not None:
            checker.out.variables.add(variable.name)
            checker.out.selects.add(variable.name)
            read = Read(node.key.offset, node.key.length, variable)
            checker.out.types[read] = variable.type
            return Present(node.offset, node.length, read), BOOL
        operand, type_ = checker.check(node.operand)
        _field(checker, select, operand, type_)
        _note_key(checker, node.operand, node.key.value)
        return Has(node.offset, node.length, operand, node.key), BOOL
    operand, type_ = checker.check(node.operand)
    key, key_type = checker.check(node.key)
    made = Has(node.offset, node.length, operand, key)
    _element_type(checker, made, checker.known(type_), key_type)
    return made, BOOL


def _as_variable(checker: Checker, select: Select) -> Variable | None:
    parts = chain(select)
    if parts is None or (isinstance(parts[0], Name) and parts[0].name in checker.locals):
        return None
    return checker.scope.variable(spelled(parts))


PATHS: dict[type[Node], Rule] = {Name: _path, Select: _path, Index: _index, Has: _has}
