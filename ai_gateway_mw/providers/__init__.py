"""Providers, their models and API surfaces: what is known of them, what the policy says, and which name means which."""

from __future__ import annotations

from ai_gateway_mw.providers.catalog import Catalog
from ai_gateway_mw.providers.document import (
    ApiKeyDocument,
    CatalogDocument,
    Kind,
    ModelDocument,
    ProviderDocument,
    SurfaceDocument,
)
from ai_gateway_mw.providers.merge import FieldProblem, ProvidersError, configured, doubts
from ai_gateway_mw.providers.names import ModelIndex, Rejection, Resolution, kind_of
from ai_gateway_mw.providers.values import ApiSurface, Author, Credential, MetricsOf, Model, Provider

__all__ = [
    "ApiKeyDocument",
    "ApiSurface",
    "Author",
    "Catalog",
    "CatalogDocument",
    "Credential",
    "FieldProblem",
    "Kind",
    "MetricsOf",
    "Model",
    "ModelDocument",
    "ModelIndex",
    "Provider",
    "ProviderDocument",
    "ProvidersError",
    "Rejection",
    "Resolution",
    "SurfaceDocument",
    "configured",
    "doubts",
    "kind_of",
]
