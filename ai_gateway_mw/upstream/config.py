"""The config of the `ai-gateway` action, as the policy writes it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ai_gateway_mw.policy import ActionConfig, Duration, ExpressionText, TemplateText
from ai_gateway_mw.providers import ProviderDocument

_MAX_TOKENS = 500_000


class Selection(ActionConfig):
    """How to choose: the first strategy that returns anything decides."""

    strategy: tuple[ExpressionText, ...] = Field(
        description="CEL expressions, tried in order until one returns at least one item; `[]` chooses nothing."
    )

    @field_validator("strategy", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """One expression alone is a list of one."""
        return [value] if isinstance(value, str) else value


class AIGatewayConfig(ActionConfig):
    """Where AI requests go, with which keys, and what happens when that fails."""

    providers: tuple[ProviderDocument, ...] = Field(
        (), description="Providers to configure; without any, every built-in one is reachable with the client's key."
    )
    only_allow_configured_providers: bool = Field(False, description="Refuse providers that are not listed.")
    only_allow_configured_models: bool = Field(False, description="Refuse models that no provider here lists.")
    model_selection: Selection | None = Field(
        None, description="Which of the possible models to try, over `ai.models`."
    )
    api_key_selection: Selection | None = Field(None, description="Which keys to try in which order, over `ai.keys`.")
    max_input_tokens: int | None = Field(
        None, ge=1, le=_MAX_TOKENS, description="Refuse prompts that are estimated to be longer."
    )
    max_output_tokens: int | None = Field(
        None, ge=1, le=_MAX_TOKENS, description="Cap the answer's length; the client's own smaller limit stands."
    )
    headers: dict[str, TemplateText] = Field(
        default_factory=dict, description="Fields added to every upstream request."
    )
    query_params: dict[str, TemplateText] = Field(
        default_factory=dict, description="Query parameters added to every upstream request."
    )
    body: dict[str, Any] = Field(
        default_factory=dict, description="Top-level members set in every JSON body; they win over the client's."
    )
    total_timeout: Duration = Field(360.0, gt=0, description="Time for all attempts together.")
    per_request_timeout: Duration = Field(
        180.0, gt=0, description="Time for one attempt to bring its first bytes, and between two chunks after that."
    )
    on_error: Literal["halt", "continue"] = Field(
        "halt", description="After everything failed: answer with the error, or go on with the next action."
    )
    wait_for_capacity: Duration = Field(
        0.0,
        ge=0,
        description="How long a request may wait where every key waits for its rate limit. By default it does not: it "
        "is answered with 429 and the shortest `Retry-After` at once.",
    )
    failover_on: Literal["faults", "any"] = Field(
        "faults",
        description="`faults`: what the client got wrong is answered as it is. `any`: every 4xx and 5xx moves on, as "
        "ngrok's gateway did.",
    )
