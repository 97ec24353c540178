"""Answers about the process that gives them: its health, the policy in force, and what is wrong with another policy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ai_gateway_mw.admin.answers.answer import Answer


class PolicyProblem(Answer):
    """One thing that is wrong with a policy, as `ai-gateway check --format json` has it."""

    file: str
    line: int
    column: int
    severity: Literal["error", "warning"]
    message: str
    hint: str = Field(description="The name that was probably meant, or empty.")


class PolicyInForce(Answer):
    """The policy that this process serves."""

    name: str
    sha256: str = Field(description="Of its file, as it was read.")
    text: str = Field(description="What it says; where credentials stand, only what fetches them.")
    warnings: list[PolicyProblem]


class PolicyVerdict(Answer):
    """What is wrong with a policy."""

    valid: bool = Field(description="Whether it could be put in force; warnings do not count.")
    problems: list[PolicyProblem]


class DatabaseHealth(Answer):
    """The database of keys, usage and audit."""

    status: Literal["ok", "unavailable"]
    kind: Literal["sqlite", "postgresql"] | None = Field(description="Null before it was ever reached.")


class PolicyHealth(Answer):
    """The policy in force."""

    sha256: str
    warnings: int
    missing_secrets: int = Field(description="How many of its secrets cannot be had.")


class Health(Answer):
    """What the process that answers knows of itself; how many others there are, nobody can tell it."""

    status: Literal["ok", "degraded"]
    version: str
    database: DatabaseHealth
    policy: PolicyHealth
