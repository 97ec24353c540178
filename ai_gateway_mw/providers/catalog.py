"""The catalogue: the providers, models and authors that are known without any configuration, read from data files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ai_gateway_mw.policy import load_data
from ai_gateway_mw.providers.document import (
    CatalogDocument,
    CredentialDocument,
    ModelDocument,
    ProviderDocument,
    SurfaceDocument,
)
from ai_gateway_mw.providers.overlay import overlaid
from ai_gateway_mw.providers.values import ApiSurface, Author, Credential, MetricsOf, Model, Provider, no_metrics

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is known of providers; `authors` go by every name that they have, in the one case of comparisons."""

    providers: tuple[ProviderDocument, ...]
    authors: Mapping[str, Author]

    @classmethod
    def load(cls, extra: Path | None = None) -> Catalog:
        """The packaged data, with the user's own file (or folder of files) on top, entry by entry."""
        providers: dict[str, ProviderDocument] = {}
        authors: dict[str, Author] = {}
        for document in (*_packaged(), *_own(extra)):
            for author in document.authors:
                made = Author(author.id, author.id_aliases, author.display_name, author.website)
                authors |= dict.fromkeys(made.names, made)
            for provider in document.providers:
                known = providers.get(provider.id.casefold())
                providers[provider.id.casefold()] = overlaid(known, provider) if known else provider
        return cls(tuple(providers.values()), authors)

    def provider(self, name: str) -> ProviderDocument | None:
        """The provider of that id or alias."""
        name = name.casefold()
        return next((each for each in self.providers if name in provider_names(each)), None)


def provider_names(document: ProviderDocument) -> frozenset[str]:
    """Id and aliases, in the one case in which they are compared."""
    return frozenset(name.casefold() for name in (document.id, *document.id_aliases))


def _packaged() -> Iterator[CatalogDocument]:
    """The packaged data, where a model is made by its provider and chats in text unless it says otherwise."""
    folder = resources.files("ai_gateway_mw.providers") / "data"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        content = yaml.load(file.read_bytes(), _LOADER)  # noqa: S506
        for provider in content.get("providers", ()):
            for model in provider.get("models", ()):
                model.setdefault("kind", "chat")
                model.setdefault("output_modalities", ["text"])
                model.setdefault("author_id", provider["id"])
        yield CatalogDocument.model_validate(content)


def _own(extra: Path | None) -> Iterator[CatalogDocument]:
    """The user's data. Raises `PolicyError`, since it is part of what the user configures."""
    if extra is None:
        return
    for file in sorted([*extra.glob("*.yaml"), *extra.glob("*.yml")]) if extra.is_dir() else [extra]:
        yield load_data(file, CatalogDocument)


def provider_of(
    document: ProviderDocument,
    authors: Mapping[str, Author],
    *,
    configured: bool = False,
    custom: bool = False,
    listed: Collection[str] = (),
    metrics: MetricsOf = no_metrics,
) -> Provider:
    """The provider that a complete document describes; `listed` holds the ids of models that the policy lists."""
    provider = Provider(
        id=document.id,
        id_aliases=document.id_aliases,
        base_url=document.base_url or "",
        display_name=document.display_name or document.id,
        description=document.description,
        website=document.website,
        disabled=document.disabled,
        metadata=document.metadata,
        surfaces=tuple(_surface(surface, document) for surface in _surfaces(document)),
        api_keys=tuple(key.value for key in document.api_keys),
        needs_key=bool(document.needs_key),
        configured=configured,
        custom=custom,
        metrics=metrics,
    )
    provider.own(_model(model, provider, authors, custom=model.id.casefold() in listed) for model in document.models)
    return provider


_FORMAT_CREDENTIALS = {
    "openai": Credential("authorization", "Bearer"),
    "anthropic": Credential("x-api-key"),
    "gemini": Credential("x-goog-api-key"),
}
_FORMAT_FIELDS = {"anthropic": {"anthropic-version": "2023-06-01"}}


def _surfaces(document: ProviderDocument) -> tuple[SurfaceDocument, ...]:
    return document.supported_api_surfaces or (SurfaceDocument(format="openai"),)


def _surface(surface: SurfaceDocument, provider: ProviderDocument) -> ApiSurface:
    credential = surface.credential or provider.credential
    return ApiSurface(
        format=surface.format,
        base_url=surface.base_url or provider.base_url or "",
        credential=_credential(credential) if credential else _FORMAT_CREDENTIALS[surface.format],
        surface=surface.surface,
        supported_params=frozenset(surface.supported_params),
        fields={**_FORMAT_FIELDS.get(surface.format, {}), **surface.fields},
        query=surface.query,
        query_from_fields=surface.query_from_fields,
        output_limit_param=surface.output_limit_param or "max_tokens",
        ends_with_done=surface.ends_with_done,
    )


def _credential(document: CredentialDocument) -> Credential:
    if document.scheme is None:
        return Credential(document.field, "Bearer" if document.field == "authorization" else "")
    return Credential(document.field, document.scheme)


def _model(document: ModelDocument, provider: Provider, authors: Mapping[str, Author], *, custom: bool) -> Model:
    author_id = document.author_id
    author = authors.get(author_id.casefold()) or Author(author_id) if author_id else None
    return Model(
        id=document.id,
        provider=provider,
        upstream_id=document.upstream_id or document.id,
        id_aliases=document.id_aliases,
        author=author,
        display_name=document.display_name or document.id,
        description=document.description,
        custom=custom,
        disabled=document.disabled or provider.disabled,
        metadata={**provider.metadata, **document.metadata},
        input_modalities=document.input_modalities,
        output_modalities=document.output_modalities,
        supported_features=document.supported_features,
        unsupported_params=frozenset(document.unsupported_params),
        max_context_window=document.max_context_window,
        max_output_tokens=document.max_output_tokens,
        kind=document.kind,
        pricing=_pricing(document),
        datacenters=tuple(place.model_dump() for place in document.datacenters),
        parameter_count=document.parameter_count,
        quantization=document.quantization,
        data_training_policy=document.data_training_policy,
        data_retention_days=document.data_retention_days,
        data_retention_policy=document.data_retention_policy,
        deprecated=document.deprecated,
        retires=document.retires,
    )


def _pricing(document: ModelDocument) -> dict[str, Any]:
    """Prices by `text.input` and the like; text prices stand on the top level too, since policies read them there."""
    if document.pricing is None:
        return {}
    prices = document.pricing.model_dump(exclude_none=True)
    return {**prices.get("text", {}), **prices}
