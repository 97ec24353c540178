"""The providers of a policy: each laid over what the catalogue knows of it, then the rest of the catalogue."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address
from urllib.parse import urlsplit

from ai_gateway_mw.errors import closest
from ai_gateway_mw.hosts import INTERNAL
from ai_gateway_mw.providers.catalog import Catalog, provider_names, provider_of
from ai_gateway_mw.providers.document import ProviderDocument
from ai_gateway_mw.providers.overlay import overlaid
from ai_gateway_mw.providers.values import MetricsOf, Provider, no_metrics

_LOCAL_SUFFIXES = (".localhost", INTERNAL, ".local", ".lan", ".test", ".svc", ".cluster.local")


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with a list of providers; `path` leads from that list to the field."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message}; did you mean `{self.hint}`?" if self.hint else self.message


class ProvidersError(ValueError):
    """Providers that contradict each other or lack what they need; `problems` holds all that is wrong."""

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def configured(
    catalog: Catalog, documents: Sequence[ProviderDocument], *, metrics: MetricsOf = no_metrics
) -> tuple[Provider, ...]:
    """The policy's providers in its order, then every other provider of the catalogue that has an address.

    Raises `ProvidersError`.
    """
    problems = [*_duplicates(catalog, documents), *_clashing_aliases(catalog, documents), *_clashing_models(documents)]
    merged = [_merged(catalog, document) for document in documents]
    for number, (document, whole) in enumerate(zip(documents, merged, strict=True)):
        if whole.base_url is None:
            problems.append(_no_address(catalog, number, document))
    if problems:
        raise ProvidersError(problems)
    taken = {document.id.casefold() for document in documents}
    rest = [each for each in catalog.providers if each.base_url and not provider_names(each) & taken]
    return (
        *(_configured(catalog, *pair, metrics) for pair in zip(documents, merged, strict=True)),
        *(provider_of(document, catalog.authors, metrics=metrics) for document in rest),
    )


def doubts(documents: Sequence[ProviderDocument], mapped: Container[str] = ()) -> Iterator[FieldProblem]:
    """Addresses that would send keys over a network in the clear, and names in `.internal` which nothing maps: ngrok
    knew those by itself, and here they are hosts like any other."""
    for number, document in enumerate(documents):
        url = urlsplit(document.base_url or "")
        host = url.hostname or ""
        if url.scheme == "http" and not _is_local(host):
            yield FieldProblem((number, "base_url"), f"keys and prompts travel unencrypted to {host}")
        if host.endswith(INTERNAL) and host not in mapped:
            message = f"`{host}` is asked of DNS like any other host; AI_GATEWAY_HOSTS={host}=ADDRESS says where it is"
            yield FieldProblem((number, "base_url"), message)


def _merged(catalog: Catalog, document: ProviderDocument) -> ProviderDocument:
    """The document with what the catalogue adds: as that very provider, under its alias, or by the host it is on."""
    base = next(filter(None, map(catalog.provider, (document.id, *document.id_aliases))), None)
    if base is not None:
        return overlaid(base, document)
    host = urlsplit(document.base_url or "").hostname or ""
    for known in catalog.providers:
        if any(fnmatchcase(host, pattern) for pattern in known.hosts):
            ways = known.model_copy(update={"models": (), "display_name": "", "description": "", "website": ""})
            return overlaid(ways, document)
    return document


def _configured(catalog: Catalog, document: ProviderDocument, merged: ProviderDocument, metrics: MetricsOf) -> Provider:
    known = catalog.provider(document.id) is not None
    listed = {model.id.casefold() for model in document.models}
    return provider_of(merged, catalog.authors, configured=True, custom=not known, listed=listed, metrics=metrics)


def _no_address(catalog: Catalog, number: int, document: ProviderDocument) -> FieldProblem:
    known = [name for each in catalog.providers for name in (each.id, *each.id_aliases)]
    if catalog.provider(document.id):
        return FieldProblem((number, "id"), f"provider `{document.id}` needs a base_url: it has no address of its own")
    message = f"provider `{document.id}` is not in the catalogue, so it needs a base_url"
    return FieldProblem((number, "id"), message, closest(document.id, known))


def _duplicates(catalog: Catalog, documents: Sequence[ProviderDocument]) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for number, document in enumerate(documents):
        known = catalog.provider(document.id)
        name = (known or document).id.casefold()
        if name in seen:
            yield FieldProblem((number, "id"), f"provider `{document.id}` is configured twice")
        seen.add(name)


def _clashing_aliases(catalog: Catalog, documents: Sequence[ProviderDocument]) -> Iterator[FieldProblem]:
    """Names that two providers of the policy claim. Several may share the name of a provider of the catalogue."""
    owners = {document.id.casefold(): number for number, document in enumerate(documents)}
    for number, document in enumerate(documents):
        for place, alias in enumerate(document.id_aliases):
            owner = owners.setdefault(alias.casefold(), number)
            if owner != number and catalog.provider(alias) is None:
                message = f"alias `{alias}` already names provider `{documents[owner].id}`"
                yield FieldProblem((number, "id_aliases", place), message)


def _clashing_models(documents: Sequence[ProviderDocument]) -> Iterator[FieldProblem]:
    """Names that two models of one provider claim; different providers may well have the same model."""
    for number, document in enumerate(documents):
        owners: dict[str, int] = {}
        for which, model in enumerate(document.models):
            if owners.setdefault(model.id.casefold(), which) != which:
                yield FieldProblem((number, "models", which, "id"), f"model `{model.id}` is listed twice")
        for which, model in enumerate(document.models):
            for place, alias in enumerate(model.id_aliases):
                owner = owners.setdefault(alias.casefold(), which)
                if owner != which:
                    message = f"alias `{alias}` already names model `{document.models[owner].id}`"
                    yield FieldProblem((number, "models", which, "id_aliases", place), message)


def _is_local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_SUFFIXES)
    return not address.is_global
