"""Configs such as actions have, with every kind of field."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import AnyUrl, Field, StringConstraints, field_validator, model_validator

from ai_gateway_mw.policy import ActionConfig, Duration, ExpressionText, TemplateText, Text


class Format(StrEnum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Named(ActionConfig):
    name: str = Field(description="The name.")


class Model(ActionConfig):
    id: str = Field(min_length=1, description="The id of the model.")
    id_aliases: tuple[str, ...] = Field((), description="Other ids.")
    weight: int = Field(1, ge=1, description="How much it counts.")


class Provider(ActionConfig):
    id: str = Field(description="The id of the provider.")
    models: tuple[Model, ...] = Field((), description="Its models.")
    params: tuple[str | Named, ...] = Field((), description="Names of parameters.")
    metadata: dict[str, Any] = Field({}, description="What expressions may read.")


class Gateway(ActionConfig):
    """Sends the request on."""

    on_error: Literal["halt", "continue"] = Field("halt", description="What to do when it fails.")
    format: Format = Field(Format.OPENAI, description="The format.")
    enforce: bool = Field(True, description="Whether it refuses.")
    capacity: int = Field(5, ge=1, le=10, description="How many.")
    ratio: float = Field(0.5, gt=0, lt=1, description="A share.")
    timeout: Duration = Field(180.0, description="How long.")
    window: Annotated[Duration, Ge(60), Le(3600)] = Field(60.0, description="How long at a time.")
    headers: dict[str, TemplateText] = Field({}, max_length=3, description="Fields to add.")
    strategy: tuple[ExpressionText, ...] = Field((), description="What to choose.")
    body: TemplateText | None = Field(None, description="The body.")
    note: Text = Field(Text(""), description="A note.")
    label: str = Field("", max_length=8, pattern="^[a-z]*$", description="A label.")
    tags: frozenset[str] = Field(frozenset(), description="Tags.")
    providers: tuple[Provider, ...] = Field((), description="The providers.")
    website: AnyUrl | None = Field(None, description="Where to read more.")
    either: int | TemplateText = Field(1, description="A number or text.")
    choice: bool | tuple[Named, ...] | None = Field(None, description="Yes, no, or names.")

    @field_validator("tags")
    @classmethod
    def _known_tags(cls, tags: frozenset[str]) -> frozenset[str]:
        if "bad" in tags:
            raise ValueError("`bad` is no tag")
        return tags

    @model_validator(mode="after")
    def _has_a_note(self) -> Gateway:
        if self.label == "noted" and not self.note:
            raise ValueError("a label `noted` needs a `note`")
        return self


class Deny(ActionConfig):
    """Refuses the request."""

    status_code: int = Field(403, ge=400, le=599, description="The status.")


class Vars(ActionConfig):
    prefix: dict[str, TemplateText] = Field({}, description="A mapping, or a list of mappings.")
    names: dict[Annotated[str, StringConstraints(pattern="^[a-z]+$")], int] = Field({}, description="Names.")
    vars: tuple[dict[str, Any], ...] = Field(min_length=1, description="What to set.")

    @field_validator("prefix", mode="before")
    @classmethod
    def _one_mapping(cls, value: Any) -> Any:
        return {key: item for part in value for key, item in part.items()} if isinstance(value, list) else value


CONFIGS: dict[str, type[ActionConfig]] = {"gateway": Gateway, "deny": Deny, "set-vars": Vars}
