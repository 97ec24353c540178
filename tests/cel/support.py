"""What the tables of this folder evaluate with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ai_gateway_mw.cel import (
    BOOL,
    DOUBLE,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Environment,
    ExpressionError,
    ExpressionProblem,
    ListType,
    MapType,
    Nullable,
    ObjectType,
    Timestamp,
    Variable,
)


@dataclass(frozen=True, slots=True)
class Quota:
    remaining: int | None = None
    hidden: str = "not declared"


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    quota: Quota = field(default_factory=Quota)
    enabled: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)


QUOTA = ObjectType("Quota", Quota, {"remaining": Nullable(INT)})
KEY = ObjectType("Key", Key, {"id": STRING, "quota": QUOTA, "enabled": BOOL, "metadata": MapType(STRING, DYN)})

VARIABLES = (
    Variable("req.method", STRING),
    Variable("req.url", STRING),
    Variable("req.url.path", STRING),
    Variable("req.headers", MapType(STRING, ListType(STRING))),
    Variable("req.body", DYN),
    Variable("req.time", TIMESTAMP),
    Variable("vars", MapType(STRING, DYN)),
    Variable("count", INT),
    Variable("rate", DOUBLE),
    Variable("ai.keys", ListType(KEY)),
    Variable("unset", STRING, read=lambda activation: None),
    Variable("length", INT, read=len),
)
ENVIRONMENT = Environment(variables=VARIABLES)
ACTIVATION: dict[str, Any] = {
    "req.method": "POST",
    "req.url": "https://api.example.com/v1/chat?stream=1",
    "req.url.path": "/v1/chat",
    "req.headers": {"x-api-key": ["abc"], "accept": ["text/html", "*/*"]},
    "req.body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": True, "n": 2},
    "req.time": Timestamp(1_700_000_000_000_000_000),
    "vars": {"tier": "gold", "none": None},
    "count": 3,
    "rate": 0.25,
    "ai.keys": [
        Key("one", Quota(50), metadata={"tier": "slow", "order": 2}),
        Key("two", Quota(200), metadata={"order": 1}),
        Key("three", enabled=False),
    ],
}


def value(text: str, environment: Environment = ENVIRONMENT) -> Any:
    """What an expression gives for the activation above."""
    return environment.expression(text)(ACTIVATION)


def problems(text: str, environment: Environment = ENVIRONMENT, **options: Any) -> tuple[ExpressionProblem, ...]:
    """What is wrong with an expression; empty if nothing is."""
    try:
        environment.expression(text, **options)
    except ExpressionError as error:
        return error.problems
    return ()
