"""Names, arity and types, before anything runs. Replaces names and calls by what they stand for.

A tree that was not checked (`strict=False`) goes the same way, with every type taken as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ai_gateway_mw.cel.calls import CallError, resolve
from ai_gateway_mw.cel.declarations import Variable
from ai_gateway_mw.cel.limits import Limits
from ai_gateway_mw.cel.moments import Timestamp
from ai_gateway_mw.cel.nodes import (
    Apply,
    Bind,
    Call,
    Comprehension,
    Conditional,
    Entry,
    Has,
    Index,
    ListLiteral,
    Literal,
    Local,
    Logic,
    MapLiteral,
    MessageLiteral,
    Name,
    Node,
    OptionalMap,
    Present,
    Read,
    Select,
    Unknown,
    children,
)
from ai_gateway_mw.cel.patterns import PATTERN_ARGUMENT, bad_pattern
from ai_gateway_mw.cel.problems import ExpressionProblem, closest
from ai_gateway_mw.cel.scope import MACROS, Scope, chain, spelled
from ai_gateway_mw.cel.secrecy import CONSTANT_TIME
from ai_gateway_mw.cel.types import (
    BOOL,
    DYN,
    INT,
    STRING,
    Bindings,
    ListType,
    MapType,
    ObjectType,
    OptionalType,
    Type,
    TypeParam,
    assign,
    is_open,
    join,
    substitute,
    unwrapped,
)
from ai_gateway_mw.cel.values import CelType, OptionalValue, UInt
from ai_gateway_mw.cel.wellknown import message_type

Typed = tuple[Node, Type]

_LITERALS: dict[type[Any], Type] = {
    type(None): Type("null_type"), bool: BOOL, int: INT, UInt: Type("uint"), float: Type("double"), str: STRING,
    bytes: Type("bytes"), CelType: Type("type", (DYN,)), Timestamp: Type("timestamp"), OptionalValue: OptionalType(DYN),
}  # fmt: skip
_KEYS = frozenset({"string", "int", "uint", "bool"})


@dataclass(slots=True)
class Checked:
    """A tree that can be evaluated, and what was found out about it."""

    root: Node
    types: dict[Node, Type]
    problems: list[ExpressionProblem] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    selects: set[str] = field(default_factory=set)
    sensitive: bool = False


def check(tree: Node, scope: Scope, limits: Limits, expect: Type | None, *, strict: bool) -> Checked:
    """Everything that is wrong with a tree, and the tree with its names resolved."""
    return _Checker(scope, limits, strict=strict).whole(tree, expect)


class _Checker:
    def __init__(self, scope: Scope, limits: Limits, *, strict: bool) -> None:
        self._scope = scope
        self._limits = limits
        self._strict = strict
        self._bindings: Bindings = {}
        self._locals: dict[str, tuple[str, Type]] = {}
        self._secret_locals: set[str] = set()
        self._secret: set[Node] = set()
        self._count = 0
        self._loops = 0
        self._out = Checked(Literal(0, 0, None), {})
        self._rules: dict[type[Node], Callable[[Any], Typed]] = {
            Literal: lambda node: (node, _LITERALS.get(type(node.value), DYN)),
            Name: self._path,
            Select: self._path,
            Index: self._index,
            Has: self._has,
            Call: self._call,
            Logic: self._logic,
            Conditional: self._conditional,
            ListLiteral: self._list,
            MapLiteral: self._map,
            MessageLiteral: self._message,
            Comprehension: self._comprehension,
            Bind: self._bind,
            OptionalMap: self._optional_map,
        }

    def whole(self, tree: Node, expect: Type | None) -> Checked:
        out = self._out
        out.root, type_ = self._check(tree)
        if expect is not None and not assign(type_, expect, self._bindings):
            self._problem(tree, f"expected {expect}, but this is {self._shown(type_)}")
        out.types = {node: substitute(each, self._bindings, close=True) for node, each in out.types.items()}
        return out

    def _check(self, node: Node) -> Typed:
        made, type_ = self._rules[type(node)](node)
        if not self._strict:
            type_ = DYN
        self._out.types[made] = type_
        if any(child in self._secret for child in children(made)):
            self._secret.add(made)
        return made, type_

    def _problem(self, node: Node, message: str, hint: str = "") -> None:
        if self._strict:
            self._out.problems.append(ExpressionProblem(message, node.offset, node.length, hint))

    def _shown(self, type_: Type) -> Type:
        return substitute(type_, self._bindings, close=True)

    def _fresh(self, letter: str = "T") -> Type:
        self._count += 1
        return TypeParam(f"{letter}{self._count}")

    # names and fields

    def _path(self, node: Name | Select) -> Typed:
        parts = chain(node)
        if parts is None:
            assert isinstance(node, Select)
            operand, type_ = self._check(node.operand)
            return self._field(node, operand, type_)
        base, type_, rest = self._longest(parts)
        self._out.types[base] = type_
        for select in rest:
            assert isinstance(select, Select)
            base, type_ = self._field(select, base, type_)
            self._out.types[base] = type_ if self._strict else DYN
        self._note_select(parts, rest)
        return base, type_

    def _longest(self, parts: list[Name | Select]) -> tuple[Node, Type, Sequence[Name | Select]]:
        """The declared name that is the longest beginning of a chain, and what follows it."""
        root = parts[0]
        assert isinstance(root, Name)
        local = None if root.absolute else self._locals.get(root.name)
        if local is not None:
            node = Local(root.offset, root.length, local[0])
            if local[0] in self._secret_locals:
                self._secret.add(node)
            return node, local[1], parts[1:]
        for end in range(len(parts), 0, -1):
            found = self._declared(spelled(parts[:end]), parts, end)
            if found is not None:
                return *found, parts[end:]
        return self._undeclared(parts), DYN, ()

    def _declared(self, name: str, parts: list[Name | Select], end: int) -> Typed | None:
        place, length = parts[0].offset, parts[end - 1].offset + parts[end - 1].length - parts[0].offset
        variable = self._scope.variable(name)
        if variable is not None:
            self._out.variables.add(variable.name)
            return Read(place, length, variable), variable.type
        constant = self._scope.constant(name)
        return (Literal(place, length, constant[0]), constant[1]) if constant else None

    def _undeclared(self, parts: list[Name | Select]) -> Node:
        name, root = spelled(parts), parts[0]
        hint = self._scope.meant_name(name)
        for end in range(len(parts) - 1, 0, -1):
            hint = hint or self._scope.meant_name(spelled(parts[:end]))
        length = parts[-1].offset + parts[-1].length - root.offset
        self._problem(Name(root.offset, length, name), f"unknown name `{name}`", hint)
        return Unknown(root.offset, length, name)

    def _note_select(self, parts: list[Name | Select], rest: Sequence[Name | Select]) -> None:
        root = parts[0]
        assert isinstance(root, Name)
        if root.name not in self._locals:
            self._out.selects.add(spelled(parts).removeprefix("."))

    def _field(self, node: Select, operand: Node, type_: Type) -> Typed:
        made = Select(node.offset, node.length, operand, node.field, node.optional)
        result = self._field_type(made, unwrapped(self._shown_open(type_)))
        if node.optional and result.name != "optional_type":
            result = OptionalType(result)
        if operand in self._secret:
            self._secret.add(made)
        return made, result

    def _shown_open(self, type_: Type) -> Type:
        return substitute(type_, self._bindings)

    def _field_type(self, node: Select, type_: Type) -> Type:
        if isinstance(type_, ObjectType):
            known = type_.fields.get(node.field)
            if known is None:
                hint = closest(node.field, type_.fields)
                self._problem(node, f"{type_.name} has no field `{node.field}`", hint)
            return known or DYN
        if type_.name == "map":
            self._need(node, STRING, type_.params[0], "this map's keys are {wanted}, not names")
            return type_.params[1]
        if type_.name == "optional_type":
            return OptionalType(self._field_type(node, type_.params[0]))
        if is_open(type_) or type_.is_param:
            return DYN
        return self._no_fields(node, type_)

    def _no_fields(self, node: Select, type_: Type) -> Type:
        hint = ""
        if isinstance(node.operand, Read):
            hint = self._scope.meant_field(node.operand.variable.name, node.field)
        self._problem(node, f"{_a(self._shown(type_))} has no field `{node.field}`", hint)
        return DYN

    def _need(self, node: Node, actual: Type, wanted: Type, message: str) -> None:
        if not assign(actual, wanted, self._bindings):
            self._problem(node, message.format(actual=self._shown(actual), wanted=self._shown(wanted)))

    def _index(self, node: Index) -> Typed:
        operand, type_ = self._check(node.operand)
        key, key_type = self._check(node.key)
        made = Index(node.offset, node.length, operand, key, node.optional)
        result = self._element_type(made, self._shown_open(type_), key_type)
        if node.optional and result.name != "optional_type":
            result = OptionalType(result)
        if isinstance(key, Literal) and isinstance(key.value, str):
            self._note_key(node.operand, key.value)
        return made, result

    def _note_key(self, operand: Node, key: str) -> None:
        parts = chain(operand)
        if parts and isinstance(parts[0], Name) and parts[0].name not in self._locals:
            self._out.selects.add(f"{spelled(parts).removeprefix('.')}.{key}")

    def _element_type(self, node: Index | Has, type_: Type, key_type: Type) -> Type:
        if type_.name == "list":
            self._need(node.key, key_type, INT, "a list is indexed by int, not {actual}")
            return type_.params[0]
        if type_.name == "map":
            self._need(node.key, key_type, type_.params[0], "the keys of this map are {wanted}, not {actual}")
            return type_.params[1]
        if type_.name == "optional_type":
            return OptionalType(self._element_type(node, type_.params[0], key_type))
        if not is_open(type_) and not type_.is_param:
            use = "; use charAt or substring" if type_ == STRING else ""
            self._problem(node, f"{_a(self._shown(type_))} cannot be indexed{use}")
        return DYN

    def _has(self, node: Has) -> Typed:
        if isinstance(node.key, Literal) and isinstance(node.key.value, str):
            select = Select(node.key.offset, node.key.length, node.operand, node.key.value)
            variable = self._as_variable(select)
            if variable is not None:
                self._out.variables.add(variable.name)
                self._out.selects.add(variable.name)
                read = Read(node.key.offset, node.key.length, variable)
                self._out.types[read] = variable.type
                return Present(node.offset, node.length, read), BOOL
            operand, type_ = self._check(node.operand)
            self._field(select, operand, type_)
            self._note_key(node.operand, node.key.value)
            return Has(node.offset, node.length, operand, node.key), BOOL
        operand, type_ = self._check(node.operand)
        key, key_type = self._check(node.key)
        made = Has(node.offset, node.length, operand, key)
        self._element_type(made, self._shown_open(type_), key_type)
        return made, BOOL

    def _as_variable(self, select: Select) -> Variable | None:
        parts = chain(select)
        if parts is None or (isinstance(parts[0], Name) and parts[0].name in self._locals):
            return None
        return self._scope.variable(spelled(parts))

    # calls

    def _call(self, node: Call) -> Typed:
        name, target = self._function(node)
        if name in MACROS and name not in self._scope.functions:
            self._problem(node, f"`{name}` is used as in `{MACROS[name]}`")
            return Apply(node.offset, node.length, name, (), ()), DYN
        args = [self._check(arg) for arg in ((target, *node.args) if target is not None else node.args)]
        types = tuple(type_ for _, type_ in args)
        self._out.functions.add(name)
        try:
            overloads, result = resolve(
                self._scope, name, types, self._bindings, self._fresh, member=target is not None, strict=self._strict
            )
        except CallError as error:
            self._problem(node, str(error), error.hint)
            return Apply(node.offset, node.length, name, (), tuple(arg for arg, _ in args)), DYN
        nodes = tuple(self._pattern(name, place, arg) for place, (arg, _) in enumerate(args))
        secret = any(arg in self._secret for arg in nodes)
        made = Apply(node.offset, node.length, name, overloads, nodes, secret and name in CONSTANT_TIME)
        if any(overload.sensitive for overload in overloads):
            self._secret.add(made)
            self._out.sensitive = True
        return made, result

    def _function(self, node: Call) -> tuple[str, Node | None]:
        """The full name of what is called, and its receiver: none if the dots belong to the name."""
        if node.target is None:
            return self._scope.function(node.function) or node.function.removeprefix("."), None
        parts = chain(node.target)
        if parts is None or (isinstance(parts[0], Name) and parts[0].name in self._locals):
            return node.function, node.target
        qualified = f"{spelled(parts)}.{node.function}"
        found = self._scope.function(qualified)
        if found is None and self._scope.is_namespace(spelled(parts)) and self._scope.variable(spelled(parts)) is None:
            return qualified, None
        return (found, None) if found else (node.function, node.target)

    def _pattern(self, function: str, place: int, arg: Node) -> Node:
        """A literal regular expression that RE2 refuses is a problem now."""
        if PATTERN_ARGUMENT.get(function) == place and isinstance(arg, Literal) and isinstance(arg.value, str):
            wrong = bad_pattern(arg.value)
            if wrong:
                self._out.problems.append(ExpressionProblem(wrong, arg.offset, arg.length))
        return arg

    # logic

    def _bool(self, node: Node, what: str) -> Node:
        made, type_ = self._check(node)
        if not assign(type_, BOOL, self._bindings):
            self._problem(node, f"{what} must be bool, but this is {self._shown(type_)}")
        return made

    def _logic(self, node: Logic) -> Typed:
        operands = tuple(self._bool(each, f"what stands beside `{node.op}`") for each in node.operands)
        return Logic(node.offset, node.length, node.op, operands), BOOL

    def _conditional(self, node: Conditional) -> Typed:
        test = self._bool(node.test, "what stands before `?`")
        yes, yes_type = self._check(node.yes)
        no, no_type = self._check(node.no)
        made = Conditional(node.offset, node.length, test, yes, no)
        if not assign(no_type, yes_type, self._bindings):
            both = f"{self._shown(yes_type)} and {self._shown(no_type)}"
            self._problem(node, f"both sides of `:` must have one type; these are {both}")
            return made, DYN
        return made, join(yes_type, no_type, self._bindings)

    # literals

    def _joined(self, types: Sequence[Type]) -> Type:
        if not types:
            return self._fresh()
        first, *rest = types
        for each in rest:
            first = join(first, each, self._bindings)
        return first

    def _list(self, node: ListLiteral) -> Typed:
        elements = [self._check(each) for each in node.elements]
        types = [self._optional(each, made, place in node.optional) for place, (made, each) in enumerate(elements)]
        made = ListLiteral(node.offset, node.length, tuple(each for each, _ in elements), node.optional)
        return made, ListType(self._joined(types))

    def _optional(self, type_: Type, node: Node, optional: bool) -> Type:
        """The type that an element marked with `?` adds to its list or map."""
        if not optional:
            return type_
        inner = self._fresh()
        self._need(node, type_, OptionalType(inner), "`?` wants an optional value, not {actual}")
        return substitute(inner, self._bindings)

    def _entries(self, node: MapLiteral | MessageLiteral) -> tuple[list[Entry], list[Type], list[Type]]:
        entries, keys, values = [], [], []
        for entry in node.entries:
            key, key_type = self._check(entry.key)
            value, value_type = self._check(entry.value)
            entries.append(Entry(entry.offset, entry.length, key, value, entry.optional))
            keys.append(key_type)
            values.append(self._optional(value_type, value, entry.optional))
        return entries, keys, values

    def _map(self, node: MapLiteral) -> Typed:
        entries, keys, values = self._entries(node)
        for entry, key in zip(entries, keys, strict=True):
            if not (is_open(key) or key.is_param or key.name in _KEYS):
                self._problem(entry, f"a key is a string, int, uint or bool, not {_a(self._shown(key))}")
        made = MapLiteral(node.offset, node.length, tuple(entries))
        return made, MapType(self._joined(keys), self._joined(values))

    def _message(self, node: MessageLiteral) -> Typed:
        known = next((each for each in self._scope.candidates(node.name) if message_type(each)), None)
        entries, _, values = self._entries(node)
        made = MessageLiteral(node.offset, node.length, known or node.name.removeprefix("."), tuple(entries))
        described = message_type(known) if known else None
        if described is None:
            self._problem(node, f"`{node.name}` is not a type that can be made; only google.protobuf's well-known are")
            return made, DYN
        type_, fields = described
        for entry, value in zip(entries, values, strict=True):
            name = entry.key.value if isinstance(entry.key, Literal) else ""
            if name not in fields:
                self._problem(entry, f"{known} has no field `{name}`", closest(name, fields))
            else:
                self._need(entry, value, fields[name], f"`{name}` is {{wanted}}, not {{actual}}")
        return made, type_

    # macros

    def _enter(self, name: str, type_: Type, *, secret: bool = False) -> str:
        """Declares a variable of a macro under a name that no other variable of the expression has."""
        self._count += 1
        unique = f"{name}_{self._count}"
        self._locals[name] = (unique, type_)
        if secret:
            self._secret_locals.add(unique)
        return unique

    def _element_types(self, node: Comprehension, type_: Type) -> tuple[Type, ...]:
        """The types of the variables: element or key; with two, index and element, or key and value."""
        two = len(node.variables) == 2
        if type_.name == "list":
            return (INT, type_.params[0]) if two else type_.params
        if type_.name == "map":
            return type_.params if two else type_.params[:1]
        if not is_open(type_) and not type_.is_param:
            self._problem(node, f"`{node.kind}` walks a list or a map, not {_a(self._shown(type_))}")
        return (DYN, DYN) if two else (DYN,)

    def _comprehension(self, node: Comprehension) -> Typed:
        range_, range_type = self._check(node.range)
        types = self._element_types(node, self._shown_open(range_type))
        outer = dict(self._locals)
        secret = range_ in self._secret
        names = tuple(self._enter(name, each, secret=secret) for name, each in zip(node.variables, types, strict=True))
        self._loops += 1
        if self._loops > self._limits.loops:
            found = ExpressionProblem(f"macros may nest {self._limits.loops} deep", node.offset, node.length)
            self._out.problems.append(found)
        test = None if node.test is None else self._bool(node.test, f"the test of `{node.kind}`")
        results = [self._check(each) for each in node.result]
        self._loops -= 1
        self._locals = outer
        made = Comprehension(
            node.offset, node.length, node.kind, range_, names, test, tuple(each for each, _ in results)
        )
        return made, self._made(node, types, [type_ for _, type_ in results])

    def _made(self, node: Comprehension, types: tuple[Type, ...], results: list[Type]) -> Type:
        match node.kind:
            case "all" | "exists" | "exists_one":
                return BOOL
            case "map":
                return ListType(results[0])
            case "transformMap":
                return MapType(types[0], results[0])
            case "transformMapEntry":
                return results[0]
            case "minBy" | "maxBy":
                return types[0]
            case _:
                return ListType(types[0])

    def _bind(self, node: Bind) -> Typed:
        value, type_ = self._check(node.value)
        outer = dict(self._locals)
        name = self._enter(node.name, type_, secret=value in self._secret)
        body, body_type = self._check(node.body)
        self._locals = outer
        return Bind(node.offset, node.length, name, value, body), body_type

    def _optional_map(self, node: OptionalMap) -> Typed:
        target, type_ = self._check(node.target)
        inner = self._fresh()
        self._need(node, type_, OptionalType(inner), "this wants an optional value, not {actual}")
        outer = dict(self._locals)
        name = self._enter(node.name, substitute(inner, self._bindings), secret=target in self._secret)
        body, body_type = self._check(node.body)
        self._locals = outer
        made = OptionalMap(node.offset, node.length, target, name, body, node.flat)
        return made, body_type if node.flat else OptionalType(body_type)


def _a(type_: Type) -> str:
    return f"{'an' if type_.name[0] in 'aeiou' and type_.name != 'uint' else 'a'} {type_}"
