"""The answer that explains a request: rules, choices, and what would be sent, as `ai-gateway explain --json` has it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ai_gateway_mw.admin.answers.answer import Answer


class ExplainedAction(Answer):
    """An action that would run."""

    type: str
    place: str = Field(description="In the policy's file.")
    outcome: str = Field(description="`went on`, `answered`, `refused`, `would have refused`, or `failed`.")
    error: dict[str, str] | None
    vars: dict[str, Any] = Field(description="What it sets.")
    result: Any = Field(description="What it publishes.")
    expressions: list[dict[str, Any]] = Field(description="What it evaluates, with the parts and their values.")


class ExplainedRule(Answer):
    """A rule of the policy."""

    phase: str
    name: str
    place: str
    verdict: Literal["matched", "not matched", "not reached", "failed"]
    times: int
    why: list[dict[str, Any]] = Field(description="Its expressions, with the parts and their values.")
    actions: list[ExplainedAction]


class ExplainedChoice(Answer):
    """A model or a key."""

    name: str
    order: int | None = Field(description="Its turn, from 1; null if it has none.")
    reason: str


class ExplainedSending(Answer):
    """A request that would be sent."""

    candidate: str
    key: str
    method: str
    url: str
    fields: list[tuple[str, str]]
    body: str
    outcome: str
    status: int


class Explanation(Answer):
    """What would become of a request, as `ai-gateway explain --json` has it. Credentials are shown by their names."""

    request: dict[str, Any]
    rules: list[ExplainedRule]
    vars: dict[str, Any]
    models: list[ExplainedChoice]
    keys: list[ExplainedChoice]
    sent: list[ExplainedSending] = Field(description="What providers would get.")
    then: list[ExplainedChoice] = Field(description="Whose turn would come after these, had they failed.")
    called: list[ExplainedSending] = Field(description="What others would get, whom actions call.")
    status: int = Field(description="Of the answer; providers give a canned one.")
    fields: list[tuple[str, str]]
    body: str
    refused: dict[str, str] | None
    notes: list[str]
