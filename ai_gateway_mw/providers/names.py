"""Which models a name means: ids and aliases, `provider:model`, `author/model`, names that only a provider knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from ai_gateway_mw.providers.document import Kind
from ai_gateway_mw.providers.values import Model, Provider, snapshot_of
from ai_gateway_mw.surfaces import Format


class Rejection(StrEnum):
    """Why a name led to no model."""

    UNKNOWN = "unknown model"
    DISABLED = "disabled by configuration"


@dataclass(frozen=True, slots=True)
class Resolution:
    """The models that some names mean, in the order of the names, and the names that led nowhere, with the reason."""

    models: tuple[Model, ...]
    rejected: tuple[tuple[str, str], ...] = ()


class ModelIndex:
    """Finds models by name. Names are compared in one case; what is disabled is not found.

    A model asked for by the name of a dated build is a copy whose `upstream_id` is that name; all else about it is
    the same.
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._all = tuple(model for provider in providers for model in provider.models if not model.disabled)
        self._disabled = {
            name for provider in providers for model in provider.models if model.disabled for name in model.names
        }
        self._providers: dict[str, list[Provider]] = {}
        self._by_name: dict[str, list[Model]] = {}
        self._by_provider: dict[tuple[str, str], Model] = {}
        self._by_author: dict[tuple[str, str], list[Model]] = {}
        for provider in providers:
            for name in provider.names:
                self._providers.setdefault(name, []).append(provider)
        for model in self._all:
            self._add(model)

    def _add(self, model: Model) -> None:
        for alias in {name.casefold(): name for name in (*model.id_aliases, model.id)}.values():
            name = alias.casefold()
            dated = snapshot_of(alias, model.id_aliases)
            named = replace(model, upstream_id=dated) if dated else model
            self._by_name.setdefault(name, []).append(named)
            self._by_provider.setdefault((model.provider.id, name), named)
            for author in model.author.names if model.author else ():
                self._by_author.setdefault((author, name), []).append(named)

    def all(self, api_format: Format | None = None, kind: Kind | None = None) -> tuple[Model, ...]:
        """Every model, or those whose provider serves a format and that are not known to be of another kind."""
        kinds = (None, kind)
        return tuple(
            model
            for model in self._all
            if (api_format is None or model.provider.serves(api_format)) and (kind is None or model.kind in kinds)
        )

    def resolve(self, names: Sequence[str]) -> Resolution:
        """What the names mean; a model that several of them mean comes once, where it came first."""
        found: dict[tuple[str, str], Model] = {}
        rejected: list[tuple[str, str]] = []
        for name in names:
            models = self._named(name)
            if not models:
                rejected.append((name, self._reason(name)))
            for model in models:
                found.setdefault((model.provider.id, model.id), model)
        return Resolution(tuple(found.values()), tuple(rejected))

    def _named(self, name: str) -> Sequence[Model]:
        folded = name.casefold()
        return self._by_name.get(folded) or tuple(self._prefixed(name)) or tuple(self._authored(name))

    def _prefixed(self, name: str) -> Iterator[Model]:
        """`provider:model`, split at the first colon. What that provider is not known to have is sent as it stands."""
        prefix, colon, rest = name.partition(":")
        if not colon or not rest:
            return
        for provider in _enabled(self._providers.get(prefix.casefold(), ())):
            known = self._by_provider.get((provider.id, rest.casefold()))
            authored = self._by_author.get(_halves(rest), ())
            known = known or next((model for model in authored if model.provider is provider), None)
            if known is not None:
                yield known
            elif not self._is_disabled(provider, rest):
                yield provider.passthrough(rest)

    def _authored(self, name: str) -> Iterator[Model]:
        """`author/model`; if the author is a provider as well, it may know a model that nobody here does."""
        author, rest = _halves(name)
        models = self._by_author.get((author, rest))
        if models:
            yield from models
        elif rest:
            for provider in _enabled(self._providers.get(author, ())):
                if not self._is_disabled(provider, rest):
                    yield provider.passthrough(name.partition("/")[2])

    def _is_disabled(self, provider: Provider, name: str) -> bool:
        model = provider.model(name)
        return model is not None and model.disabled

    def _reason(self, name: str) -> Rejection:
        """Disabled, if the name means something that is; else unknown."""
        prefix, _, rest = name.casefold().partition(":")
        author, model = _halves(name)
        named = (*self._providers.get(prefix, ()), *self._providers.get(author, ()))
        if {name.casefold(), model, rest} & self._disabled or any(provider.disabled for provider in named):
            return Rejection.DISABLED
        return Rejection.UNKNOWN


def _halves(name: str) -> tuple[str, str]:
    author, _, rest = name.casefold().partition("/")
    return author, rest


def _enabled(providers: Iterable[Provider]) -> Iterator[Provider]:
    return (provider for provider in providers if not provider.disabled)


_KINDS: tuple[tuple[str, Kind], ...] = (
    ("/v1/embeddings", "embedding"),
    ("/v1/moderations", "moderation"),
    ("/v1/rerank", "rerank"),
    ("/v1/images/", "image"),
    ("/v1/audio/speech", "speech"),
    ("/v1/audio/", "transcription"),
    ("/v1/completions", "completion"),
)
_GEMINI_EMBEDDINGS = (":embedContent", ":batchEmbedContents")


@lru_cache(maxsize=256)
def kind_of(path: str) -> Kind:
    """The kind of model that a canonical client path asks for."""
    if path.endswith(_GEMINI_EMBEDDINGS):
        return "embedding"
    return next((kind for prefix, kind in _KINDS if path.startswith(prefix)), "chat")
