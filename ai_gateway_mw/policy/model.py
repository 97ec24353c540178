"""What a policy says: phases of rules of actions. Nothing here knows what an action type or an expression means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import core_schema

from ai_gateway_mw.errors import Place, Problem
from ai_gateway_mw.policy.document import Document, Path
from ai_gateway_mw.policy.text import ExpressionText

_SCALARS = frozenset({"bool", "int", "float", "str"})
_NOT_SCHEMAS = frozenset({"metadata", "default", "serialization"})


class Phase(StrEnum):
    """When rules run."""

    ON_TCP_CONNECT = "on_tcp_connect"
    ON_HTTP_REQUEST = "on_http_request"
    ON_HTTP_RESPONSE = "on_http_response"
    ON_EVENT_STREAM_MESSAGE = "on_event_stream_message"


def _strict_scalars(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict_scalars(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    walked = {key: item if key in _NOT_SCHEMAS else _strict_scalars(item) for key, item in schema.items()}
    kind = walked.get("type")  # a field may have that name, too
    return {**walked, "strict": True} if isinstance(kind, str) and kind in _SCALARS else walked


class ActionConfig(BaseModel):
    """Base of every action's config, and of the models inside it. Unknown fields are refused.

    Scalars are not converted: the text `no` is not false, and the text `5` is no number. Lists still become tuples or
    sets, and text becomes a member of an enum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        schema: core_schema.CoreSchema = _strict_scalars(handler(source))
        return schema


@dataclass(frozen=True, slots=True, eq=False)
class ActionSpec:
    """An action as written; `path` leads to it in the document, and its config is still raw."""

    type: str
    config: Mapping[str, Any]
    path: Path
    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Actions that run, in order, when all expressions are true."""

    name: str
    expressions: tuple[ExpressionText, ...]
    actions: tuple[ActionSpec, ...]
    path: Path


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Rules for every phase, in canonical form, whichever way they were written.

    `problems` are warnings; of a policy that was not loaded strictly, also what kept parts of it from being read.
    """

    rules: Mapping[Phase, tuple[Rule, ...]]
    document: Document
    problems: tuple[Problem, ...] = ()

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "warning")
