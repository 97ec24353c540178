"""What is written about providers: one form for the catalogue's data files and for `providers` in a policy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from ai_gateway_mw.policy import ActionConfig, TemplateText
from ai_gateway_mw.providers.pricing import PricingDocument
from ai_gateway_mw.surfaces import Format

Surface = Literal["chat-completions", "responses", "messages"]
Kind = Literal["chat", "completion", "embedding", "image", "speech", "transcription", "moderation", "rerank"]

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.1: a token
_HOST = re.compile(r"[0-9A-Za-z_.-]+|\[[0-9A-Fa-f:.]+\]")


def _name(value: str) -> str:
    if not value.strip():
        raise ValueError("a name must not be empty")
    if value != value.strip() or not value.isprintable():
        raise ValueError("a name must not begin or end with a space, nor hold control characters")
    return value


def _base_url(value: str) -> str:
    if "${" in value or "$<" in value:
        raise ValueError("a base_url is fixed: it cannot hold an interpolation")
    if not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
        raise ValueError("a base_url holds only visible ASCII characters, and no backslash")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https"):
        raise ValueError("a base_url begins with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("a base_url must not hold a user name or password; keys belong in api_keys")
    if "?" in value or "#" in value:
        raise ValueError("a base_url must not hold a query or a fragment; use query_params")
    if not parts.hostname or not _HOST.fullmatch(parts.netloc.removesuffix(f":{parts.port}")):
        raise ValueError("a base_url names a host, as in https://api.example.com/v1")
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        raise ValueError("the path of a base_url must not hold `.` or `..`")
    return value


def _field_name(value: str) -> str:
    if not _FIELD_NAME.fullmatch(value):
        raise ValueError("this is not a header field name")
    return value.lower()


def _field_value(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("a header field value holds only visible ASCII characters")
    return value


def _param(value: Any) -> Any:
    """A parameter's name, written as `temperature` or as `{name: temperature}`."""
    if isinstance(value, Mapping):
        if set(value) != {"name"}:
            raise ValueError("write a parameter as its name, or as {name: …}")
        value = value["name"]
    if not isinstance(value, str) or not value:
        raise ValueError("a parameter has a name")
    return str(value)


def _plain(value: Any) -> Any:
    """Metadata without the marks of the file it came from."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


_PARAM_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1, "description": "Name of a top-level member of the body."}
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    ]
}

Name = Annotated[str, AfterValidator(_name)]
BaseURL = Annotated[str, AfterValidator(_base_url)]
FieldName = Annotated[str, AfterValidator(_field_name)]
FieldValue = Annotated[str, AfterValidator(_field_value)]
Param = Annotated[str, BeforeValidator(_param), WithJsonSchema(_PARAM_SCHEMA)]
Metadata = Annotated[dict[str, Any], BeforeValidator(_plain)]
Amount = Annotated[int, Field(ge=0)]


class ApiKeyDocument(ActionConfig):
    """One provider key."""

    value: TemplateText = Field(
        description="The key, best as an interpolation that reads a secret: ${secrets.get('openai', 'primary')}."
    )


class CredentialDocument(ActionConfig):
    """How a provider wants to be shown its key."""

    field: FieldName = Field("authorization", description="Header field that carries the key.")
    scheme: str | None = Field(
        None, description="Word before the key, such as Bearer. Default: Bearer in `authorization`, else none."
    )


class SurfaceDocument(ActionConfig):
    """An API format that a provider serves, or one endpoint of it."""

    format: Format = Field(description="The API format: openai, anthropic or gemini.")
    surface: Surface | None = Field(
        None, description="One endpoint of that format; without it, the entry is about all of them."
    )
    supported_params: tuple[Param, ...] = Field(
        (), description="The top-level members of a body that are forwarded; all others are dropped. Empty: all are."
    )
    base_url: BaseURL | None = Field(None, description="Address for this format, where it is not the provider's own.")
    credential: CredentialDocument | None = Field(
        None, description="How the key is shown on this surface, where it differs from the provider's own way."
    )
    fields: dict[FieldName, FieldValue] = Field(
        {}, description="Header fields that are sent unless the client sends them, such as anthropic-version."
    )
    query: dict[str, str] = Field({}, description="Query parameters that are always sent.")
    query_from_fields: tuple[FieldName, ...] = Field(
        (), description="Configured header fields that are also sent as query parameters, such as api-version."
    )
    output_limit_param: str | None = Field(
        None, description="Body member that caps the output of chat completions: max_tokens or max_completion_tokens."
    )
    ends_with_done: bool = Field(
        True,
        description="Whether streams of chat completions end with `data: [DONE]`, and are incomplete without. Some "
        "servers never send it.",
    )


class DatacenterDocument(ActionConfig):
    """A place where a model runs."""

    country_code: str = Field("", description="ISO 3166 code of the country, two letters.")
    region: str = Field("", description="The provider's name of the region, such as us-east-1.")


class ModelDocument(ActionConfig):
    """A model of a provider, or notes on one that the catalogue has."""

    id: Name = Field(description="The model's id, as the provider knows it.")
    id_aliases: tuple[Name, ...] = Field((), description="Other names by which clients may ask for it.")
    upstream_id: Name | None = Field(None, description="The id that is sent upstream, where that is another one.")
    author_id: str | None = Field(None, description="Who made the model.")
    display_name: str = Field("", description="Name for people.")
    description: str = Field("", description="A few words for people.")
    disabled: bool = Field(False, description="Takes the model out of every selection.")
    metadata: Metadata = Field(
        {}, description="Whatever strategies want to read as m.metadata; laid over the provider's. Never sent upstream."
    )
    input_modalities: tuple[str, ...] = Field((), description="What it takes: text, image, audio, video, file.")
    output_modalities: tuple[str, ...] = Field((), description="What it gives: text, image, audio, embedding.")
    supported_features: tuple[str, ...] = Field((), description="What it can do: tool-calling, vision, coding, …")
    unsupported_params: tuple[Param, ...] = Field((), description="Members of a body that are never forwarded to it.")
    max_context_window: Amount = Field(0, description="Tokens of prompt and answer together; 0 is unknown.")
    max_output_tokens: Amount = Field(0, description="Tokens of an answer; 0 is unknown.")
    kind: Kind | None = Field(
        None, description="What it is for, so that automatic selection does not offer it elsewhere. Unset: anything."
    )
    pricing: PricingDocument | None = Field(None, description="What it costs, in US dollars.")
    datacenters: tuple[DatacenterDocument, ...] = Field((), description="Where it runs.")
    parameter_count: Amount = Field(0, description="Number of parameters; 0 is unknown.")
    quantization: str = Field("", description="Number format of the weights, such as fp8.")
    data_training_policy: str = Field("", description="Whether requests are used for training, in your own words.")
    data_retention_days: Amount | None = Field(None, description="Days for which requests are kept; unset is unknown.")
    data_retention_policy: str = Field("", description="How requests are kept, in your own words.")
    deprecated: str = Field("", description="Day from which its use is discouraged, YYYY-MM-DD.")
    retires: str = Field("", description="Day from which the provider no longer serves it, YYYY-MM-DD.")


class ProviderDocument(ActionConfig):
    """A provider of your own, or settings for one that the catalogue has."""

    id: Name = Field(description="Id of a provider of the catalogue, or a name of your own.")
    id_aliases: tuple[Name, ...] = Field(
        (), description="Other names. The id of a catalogue provider brings that provider's models and ways with it."
    )
    base_url: BaseURL | None = Field(None, description="Address of the API; a provider of your own needs it.")
    display_name: str = Field("", description="Name for people.")
    description: str = Field("", description="A few words for people.")
    website: str = Field("", description="Where people find the provider.")
    disabled: bool = Field(False, description="Takes the provider out of every selection; its settings stay.")
    metadata: Metadata = Field(
        {}, description="Whatever strategies want to read; its models inherit it. Never sent upstream."
    )
    api_keys: tuple[ApiKeyDocument, ...] = Field(
        (), description="Keys, in the order in which they are tried. None: the client's own key is passed on."
    )
    models: tuple[ModelDocument, ...] = Field((), description="Models of your own, or notes on models it is known for.")
    supported_api_surfaces: tuple[SurfaceDocument, ...] = Field(
        (), description="The API formats it serves. Default: the catalogue's entry, or openai."
    )
    credential: CredentialDocument | None = Field(
        None, description="How it wants to be shown its key. Default: the way of each API format."
    )
    needs_key: bool | None = Field(
        None, description="Whether a request without a key is refused at once. Default: what the catalogue says."
    )
    hosts: tuple[str, ...] = Field(
        (), description="Host patterns by which a provider of your own is recognised as this one: *.example.com."
    )


class AuthorDocument(ActionConfig):
    """Who makes models."""

    id: Name = Field(description="Id of the author, as in `author/model`.")
    id_aliases: tuple[Name, ...] = Field((), description="Other names.")
    display_name: str = Field("", description="Name for people.")
    website: str = Field("", description="Where people find the author.")


class CatalogDocument(ActionConfig):
    """A data file of the catalogue."""

    authors: tuple[AuthorDocument, ...] = Field((), description="Authors of models.")
    providers: tuple[ProviderDocument, ...] = Field((), description="Providers and their models.")
