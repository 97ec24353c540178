"""Operation: one thing that the admin plane can be asked, with its path, permission, inputs and answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import BaseModel

from ai_gateway_mw.admin.inputs import NoQuery
from ai_gateway_mw.admin.refusals import Refusal, not_found
from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.audit import Actor

if TYPE_CHECKING:
    from ai_gateway_mw.middleware import Gateway
    from ai_gateway_mw.services import Services

PREFIX: Final = "/api/v1"
BODY_LIMIT: Final = 64 * 1024


class Permission(StrEnum):
    """What a principal may do."""

    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    USAGE_READ = "usage:read"
    AUDIT_READ = "audit:read"
    HEALTH_READ = "health:read"
    POLICY_READ = "policy:read"
    POLICY_EXPLAIN = "policy:explain"
    METRICS_READ = "metrics:read"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and what they may."""

    name: str
    permissions: frozenset[Permission]


ADMIN: Final = Principal("admin", frozenset(Permission))
"""Whoever has the admin token."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request for an operation, checked and read; `query` and `body` are of the operation's classes."""

    gateway: Gateway
    opened: Callable[[], Awaitable[Services]]
    actor: Actor
    root: str  # the path that the plane is mounted at
    id: str = ""
    query: Any = None
    body: Any = None
    accept: str = ""

    async def services(self) -> Services:
        """What is kept in the database. Raises `KeyStoreUnavailable`."""
        return await self.opened()

    async def in_force(self, *key_ids: str) -> None:
        """These keys have changed: from now on this process knows, and the others do within a second."""
        await self.gateway.stores.accounts.apply(key_ids)


Handler = Callable[[Call], Awaitable[ASGIApp]]


class Text(NamedTuple):
    """A body that is plain text, of these media types, and not JSON."""

    media_types: tuple[str, ...]
    description: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` stands below `PREFIX`, and may hold `{id}`, which is that of a key."""

    id: str
    method: str
    path: str
    permission: Permission
    summary: str
    handler: Handler
    answer: type[BaseModel] | None
    status: int = 200
    media_type: str = "application/json"
    also_text: bool = False  # for those who accept `text/plain`
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | Text | None = None
    refusals: Mapping[int, str] = field(default_factory=dict)  # beside those that every operation has

    @property
    def steps(self) -> tuple[str, ...]:
        return tuple((PREFIX + self.path).split("/")[1:])


class Routes:
    """Operations by path and method."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._by_steps: dict[tuple[str, ...], dict[str, Operation]] = {}
        for operation in operations:
            self._by_steps.setdefault(operation.steps, {})[operation.method] = operation

    def find(self, method: str, path: str) -> tuple[Operation, str]:
        """The operation, and the id in the path. HEAD is answered as GET is. Raises `Refusal`."""
        steps = tuple(path.split("/")[1:])
        for known, by_method in self._by_steps.items():
            if len(known) == len(steps) and all(map(_fits, known, steps)):
                operation = by_method.get("GET" if method == "HEAD" else method)
                if operation is None:
                    raise _wrong_method(by_method)
                return operation, steps[known.index("{id}")] if "{id}" in known else ""
        raise not_found(path)


def _fits(known: str, step: str) -> bool:
    return known in ("{id}", step)


def _wrong_method(known: Iterable[str]) -> Refusal:
    methods = sorted({*known, *(("HEAD",) if "GET" in known else ())})
    allow = ", ".join(methods)
    return Refusal(405, "method_not_allowed", f"This takes {allow}.", fields=[(b"allow", allow.encode())])
