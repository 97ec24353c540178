"""exchanges.yaml: requests in, what providers answer, and what is expected of the gateway between them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.policy import ActionConfig, TemplateText, Text, load_data

FILE: Final = "exchanges.yaml"

Fault = Literal["refused", "timeout", "reset", "break"]


class Request(ActionConfig):
    """What a client sends."""

    method: str = Field("", description="POST where there is a body or no path, else GET.")
    path: str = Field("/v1/chat/completions", description="With its query, if it has one.")
    headers: dict[str, TemplateText] = Field(default_factory=dict, description="Fields, by their names.")
    body: Any = Field(None, description="A text as it is sent, or what is sent as JSON.")
    ip: str = Field("127.0.0.1", description="The address that the client has.")
    key: str | None = Field(
        None, description="The name of the gateway key that it has: a declared one, or else one that is pretended."
    )


class Answer(ActionConfig):
    """What a provider answers."""

    status: int = Field(200, ge=100, le=599, description="The status of the answer.")
    headers: dict[str, TemplateText] = Field(default_factory=dict, description="Fields, by their names.")
    body: Any = Field(None, description="A text, or what is sent as JSON; omitted: a canned body of this status.")
    stream: tuple[str, ...] | None = Field(None, description="In place of a body: an event stream in these pieces.")
    fault: Fault | None = Field(
        None,
        description="What goes wrong: the connection is `refused`, nothing comes in time (`timeout`), the connection "
        "is `reset` before the answer, or the body ends too early (`break`).",
    )


class SentExpected(ActionConfig):
    """What one provider must have got."""

    to: str | None = Field(None, description="The candidate, as in `tried`.")
    method: str | None = Field(None, description="The method.")
    url: str | None = Field(None, description="The whole URL.")
    headers: dict[str, TemplateText | None] = Field(
        default_factory=dict,
        description="Fields that must be there, or not where it says null; secrets are `Secret('vault/name')`.",
    )
    body: Any = Field(None, description="As `expect.body`.")


class Expected(ActionConfig):
    """What must come of an exchange; what is left out may be anything."""

    status: int | None = Field(None, description="The status of the answer.")
    headers: dict[str, TemplateText | None] = Field(
        default_factory=dict, description="Fields of the answer that must be there, or not where it says null."
    )
    body: Any = Field(
        None, description="A text: the whole body. A map: JSON with at least these members, whatever else is in it."
    )
    body_contains: str | None = Field(None, description="A text that is somewhere in the body.")
    refused: str | None = Field(None, description="The code of the refusal.")
    matched: tuple[str, ...] | None = Field(None, description="The names of all rules that match, in their order.")
    tried: tuple[str, ...] | None = Field(
        None, description="All candidates in the order of their turns, such as `openai/gpt-4o with openai/primary`."
    )
    tried_any_order: tuple[str, ...] | None = Field(None, description="The same, where the order is left to chance.")
    models: tuple[str, ...] | None = Field(None, description="The models in their order, such as `openai:gpt-4o`.")
    keys: tuple[str, ...] | None = Field(
        None, description="The keys in their order, those whose turn never came among them: `openai: openai/primary`."
    )
    vars: dict[str, Any] = Field(default_factory=dict, description="Variables that `set-vars` must have set.")
    sent: tuple[SentExpected, ...] | None = Field(None, description="What each provider must have got, in order.")


class Exchange(ActionConfig):
    """One request, and all that belongs to it."""

    name: Text = Field(description="What it shows.")
    request: Request = Field(default_factory=Request, description="What the client sends.")
    upstream: dict[str, int | Answer | tuple[int | Answer, ...]] = Field(
        default_factory=dict,
        description="What providers answer, one after the other, the last ever after; by the key (`openai/primary`), "
        "the candidate (`openai/gpt-4o`), the provider (`openai`), or `*`. Whoever is not named gives good answers.",
    )
    repeat: int = Field(1, ge=1, le=1000, description="How often it is sent; each must come out like this.")
    fresh: bool = Field(False, description="Forget what the exchanges before this one have taught about keys.")
    expect: Expected = Field(default_factory=Expected, description="What must come of it.")


class Exchanges(ActionConfig):
    """Tests of one policy. The exchanges run in their order on one gateway, which learns from them."""

    schema_: str | None = Field(None, alias="$schema", description="Where the schema of this file is, for editors.")
    policy: str = Field("", description="The policy; omitted: `policy.yaml`, or what the file is named after.")
    secrets: dict[str, dict[str, TemplateText]] = Field(
        default_factory=dict, description="Secrets by vault and name; all others have placeholders."
    )
    exchanges: tuple[Exchange, ...] = Field(min_length=1, description="The exchanges, in their order.")

    @model_validator(mode="after")
    def _names_differ(self) -> Exchanges:
        names = [each.name for each in self.exchanges]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"there are two exchanges by the name of `{name}`")
        return self


def load_exchanges(path: Path) -> Exchanges:
    """The exchanges of a file. Raises `PolicyError` with all that is wrong with it."""
    return load_data(path, Exchanges)


def policy_of(path: Path, exchanges: Exchanges) -> Path:
    """The policy that a file of exchanges is about."""
    if exchanges.policy:
        return path.parent / exchanges.policy
    stem = path.name.removesuffix(FILE).rstrip(".")
    return path.with_name(f"{stem or 'policy'}.yaml")


def files_of(path: Path) -> list[Path]:
    """The file, or all such files in a directory. Raises `PolicyError` where there are none."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob(f"*{FILE}") if file.name == FILE or file.name.endswith(f".{FILE}"))
    if not found:
        raise PolicyError([Problem(f"{path}: no tests here ({FILE}, *.{FILE})")])
    return found


def exchanges_schema() -> Mapping[str, Any]:
    """The JSON Schema of such a file."""
    schema = Exchanges.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:ai-gateway-mw:exchanges", **schema}
