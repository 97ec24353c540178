"""Providers, models and authors as strategies, steps and the admin plane see them: values that never change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ai_gateway_mw.policy import TemplateText
from ai_gateway_mw.providers.document import Kind
from ai_gateway_mw.surfaces import Format

# A name with a date is one build of a model: it goes upstream as it is, since the client asked for that build.
_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")

MetricsOf = Callable[[str, str], Mapping[str, Any]]
"""What was measured of a model, by the ids of its provider and itself (`state.ModelMetrics.of`)."""


def no_metrics(_provider_id: str, _model_id: str) -> Mapping[str, Any]:
    """For providers that nobody measures."""
    return {}


@dataclass(frozen=True, slots=True)
class Credential:
    """How a key is shown to a provider: the header field, and the word before the key."""

    field: str
    scheme: str = ""

    def header(self, secret: str) -> tuple[bytes, bytes]:
        """The header field that carries this secret."""
        return self.field.encode(), f"{self.scheme} {secret}".encode() if self.scheme else secret.encode()


@dataclass(frozen=True, slots=True, eq=False)  # itself only: it has no hash by value, and is looked up by
class ApiSurface:
    """An API format of a provider, or one endpoint of it, and how a request for it is made."""

    format: Format
    base_url: str
    credential: Credential
    surface: str | None = None
    supported_params: frozenset[str] = frozenset()
    fields: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    query_from_fields: tuple[str, ...] = ()
    output_limit_param: str = "max_tokens"
    ends_with_done: bool = True


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes models."""

    id: str
    id_aliases: tuple[str, ...] = ()
    display_name: str = ""
    website: str = ""
    names: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _folded(self.id, self.id_aliases))


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """A provider of the catalogue, or of the policy (`configured`); `custom` ones are in the policy only.

    `names`, here and below, holds id and aliases in the one case in which they are compared.
    """

    id: str
    id_aliases: tuple[str, ...] = ()
    base_url: str = ""
    display_name: str = ""
    description: str = ""
    website: str = ""
    disabled: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    surfaces: tuple[ApiSurface, ...] = ()
    api_keys: tuple[TemplateText, ...] = ()
    needs_key: bool = False
    configured: bool = False
    custom: bool = False
    metrics: MetricsOf = field(default=no_metrics, repr=False)
    names: frozenset[str] = field(init=False, repr=False)
    models: tuple[Model, ...] = field(default=(), init=False, repr=False)
    _models: Mapping[str, Model] = field(default_factory=dict, init=False, repr=False)
    _surfaces: Mapping[tuple[Format, str | None], ApiSurface] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _folded(self.id, self.id_aliases))
        found: dict[tuple[Format, str | None], ApiSurface] = {}
        for surface in self.surfaces:
            found.setdefault((surface.format, surface.surface), surface)
        for surface in self.surfaces:  # an endpoint that no entry names is served as well, without a list of parameters
            found.setdefault((surface.format, None), replace(surface, surface=None, supported_params=frozenset()))
        object.__setattr__(self, "_surfaces", found)

    def own(self, models: Iterable[Model]) -> None:
        """Take these models, which refer to this provider: once, before anybody else sees it."""
        object.__setattr__(self, "models", tuple(models))
        object.__setattr__(self, "_models", {name: model for model in reversed(self.models) for name in model.names})

    def serves(self, api_format: Format) -> bool:
        return (api_format, None) in self._surfaces

    def surface(self, api_format: Format, surface: str | None = None) -> ApiSurface | None:
        """The entry for an endpoint, else the one for its whole format, or None where the format is not served."""
        return self._surfaces.get((api_format, surface)) or self._surfaces.get((api_format, None))

    def model(self, name: str) -> Model | None:
        """The model of that id or alias."""
        return self._models.get(name.casefold())

    def passthrough(self, model_id: str) -> Model:
        """A model that nobody here knows; its id goes upstream as it is."""
        return Model(
            id=model_id,
            provider=self,
            upstream_id=model_id,
            known=False,
            display_name=model_id,
            metadata=self.metadata,
            disabled=self.disabled,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model of one provider, as strategies see it (AIModel).

    `known` is false for one that only the client names, `custom` true for one that the policy lists. `upstream_id` is
    the spelling that goes upstream.
    """

    id: str
    provider: Provider = field(repr=False)
    upstream_id: str
    id_aliases: tuple[str, ...] = ()
    author: Author | None = None
    display_name: str = ""
    description: str = ""
    known: bool = True
    custom: bool = False
    disabled: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    supported_features: tuple[str, ...] = ()
    unsupported_params: frozenset[str] = frozenset()
    max_context_window: int = 0
    max_output_tokens: int = 0
    kind: Kind | None = None
    pricing: Mapping[str, Any] = field(default_factory=dict)
    datacenters: tuple[Mapping[str, str], ...] = ()
    parameter_count: int = 0
    quantization: str = ""
    data_training_policy: str = ""
    data_retention_days: int | None = None
    data_retention_policy: str = ""
    deprecated: str = ""
    retires: str = ""
    names: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _folded(self.id, self.id_aliases))

    @property
    def provider_id(self) -> str:
        return self.provider.id

    @property
    def provider_id_aliases(self) -> tuple[str, ...]:
        return self.provider.id_aliases

    @property
    def author_id(self) -> str:
        return self.author.id if self.author else ""

    @property
    def author_id_aliases(self) -> tuple[str, ...]:
        return self.author.id_aliases if self.author else ()

    @property
    def metrics(self) -> Mapping[str, Any]:
        return self.provider.metrics(self.provider.id, self.id)

    def sent_as(self, requested: str | None) -> str:
        """The spelling to send for a name that the client used, with or without its provider's prefix."""
        return snapshot_of(requested, self.id_aliases) or self.upstream_id if requested else self.upstream_id


def snapshot_of(requested: str, aliases: Iterable[str]) -> str | None:
    """The alias that `requested` ends with, if that is the name of a dated build."""
    requested = requested.casefold()
    if not _SNAPSHOT.search(requested):
        return None
    names = {requested, requested.partition(":")[2], requested.rpartition("/")[2]}
    return next((alias for alias in aliases if alias.casefold() in names), None)


def _folded(name: str, aliases: Iterable[str]) -> frozenset[str]:
    return frozenset(each.casefold() for each in (name, *aliases))
