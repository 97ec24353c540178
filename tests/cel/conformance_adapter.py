"""Our engine behind the interface of the conformance runner (shared/cel-conformance/runner/template_adapter.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ai_gateway_mw.cel import (
    DYN,
    CelType,
    Duration,
    Environment,
    EvaluationError,
    Expression,
    ListType,
    MapType,
    Nullable,
    OptionalValue,
    Overload,
    Timestamp,
    Type,
    TypeParam,
    UInt,
    Variable,
)
from ai_gateway_mw.cel.functions import STANDARD_FUNCTIONS
from ai_gateway_mw.cel.types import TypeType
from ai_gateway_mw.cel.wellknown import message_type

_NAMES = {"null": "null_type"}


class Unsupported(Exception):
    """A value that has no counterpart here: protobuf messages."""


def type_of(neutral: Any) -> Type:
    """The runner's spelling of a type -> ours."""
    if isinstance(neutral, str):
        return Type(_NAMES.get(neutral, neutral))
    kind, *rest = neutral
    match kind:
        case "list":
            return ListType(type_of(rest[0]))
        case "map":
            return MapType(type_of(rest[0]), type_of(rest[1]))
        case "wrapper":
            return Nullable(type_of(rest[0]))
        case "type":
            return TypeType(type_of(rest[0]))
        case "param":
            return TypeParam(rest[0])
        case "message":
            known = message_type(rest[0])
            return known[0] if known else DYN
        case "opaque":
            return Type(rest[0], tuple(map(type_of, rest[1:])))
    raise Unsupported(f"type {neutral}")


def neutral_type(type_: Type) -> Any:
    """Our type -> the runner's spelling."""
    params = [neutral_type(param) for param in type_.params]
    if type_.name in ("list", "map", "wrapper", "type"):
        return [type_.name, *params]
    if params:
        return ["opaque", type_.name, *params]
    return "null" if type_.name == "null_type" else type_.name


def _unavailable(*args: Any) -> Any:
    raise EvaluationError("this function is only declared")


class Program:
    def __init__(self, expression: Expression) -> None:
        self._expression = expression

    def evaluate(self, bindings: Mapping[str, Any]) -> Any:
        return self._expression(bindings)

    def deduced_type(self) -> Any:
        return neutral_type(self._expression.type)


class Adapter:
    name = "ai_gateway_mw.cel"
    eval_errors = (EvaluationError,)

    def compile(
        self,
        expr: str,
        declared: Mapping[str, Any] | None = None,
        *,
        container: str = "",
        type_env: Sequence[dict[str, Any]] = (),
        disable_check: bool = False,
        disable_macros: bool = False,
    ) -> Program | Expression:
        """The conformance runner gives declarations in `type_env`, the benchmark plain variables in `declared`."""
        variables = [Variable(each["name"], type_of(each["type"])) for each in type_env if "type" in each]
        variables += [Variable(name, type_of(type_)) for name, type_ in (declared or {}).items()]
        functions = [
            Overload(
                each["name"],
                tuple(map(type_of, form["params"])),
                type_of(form["result"]),
                _unavailable,
                member=form["member"],
            )
            for each in type_env
            for form in each.get("overloads", ())
        ]
        environment = Environment(variables=variables, functions=[*STANDARD_FUNCTIONS, *functions], container=container)
        expression = environment.expression(expr, check_types=not disable_check)
        return expression if declared is not None else Program(expression)

    def from_neutral(self, value: dict[str, Any]) -> Any:
        ((tag, payload),) = value.items()
        make = _FROM.get(tag)
        if make is None:
            raise Unsupported(f"no value for a {tag}")
        return make(self, payload)

    def to_neutral(self, value: Any) -> dict[str, Any]:
        if value is None:
            return {"null": None}
        for cls, tag, show in _TO:
            if isinstance(value, cls):
                return {tag: show(self, value)}
        raise Unsupported(f"cannot show a {type(value).__name__}")


_FROM: dict[str, Any] = {
    "null": lambda _, payload: None,
    "bool": lambda _, payload: payload,
    "string": lambda _, payload: payload,
    "int": lambda _, payload: int(payload),
    "uint": lambda _, payload: UInt(payload),
    "double": lambda _, payload: float(payload),
    "bytes": lambda _, payload: bytes.fromhex(payload),
    "list": lambda self, payload: [self.from_neutral(each) for each in payload],
    "map": lambda self, payload: {self.from_neutral(key): self.from_neutral(each) for key, each in payload},
    "timestamp": lambda _, payload: Timestamp(payload[0] * 10**9 + payload[1]),
    "duration": lambda _, payload: Duration(payload[0] * 10**9 + payload[1]),
    "type": lambda _, payload: CelType(payload),
}

_TO: tuple[tuple[Any, str, Any], ...] = (
    (bool, "bool", lambda _, value: value),
    (UInt, "uint", lambda _, value: str(int(value))),
    (int, "int", lambda _, value: str(value)),
    (float, "double", lambda _, value: repr(value)),
    (str, "string", lambda _, value: str(value)),
    (bytes, "bytes", lambda _, value: value.hex()),
    ((list, tuple), "list", lambda self, value: [self.to_neutral(each) for each in value]),
    (Mapping, "map", lambda self, value: [[self.to_neutral(k), self.to_neutral(v)] for k, v in value.items()]),
    (Timestamp, "timestamp", lambda _, value: [value.seconds, value.nanos]),
    (Duration, "duration", lambda _, value: [value.seconds, value.nanos]),
    (CelType, "type", lambda _, value: value.name),
    (OptionalValue, "optional", lambda self, value: self.to_neutral(value.value) if value.present else None),
)

make = Adapter
