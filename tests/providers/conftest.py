"""The packaged catalogue, and policies' providers on top of it."""

from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw.providers import Catalog, Provider, ProviderDocument, configured


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.fixture
def providers_of(catalog: Catalog):
    """The providers of a policy that lists these."""

    def made(*documents: dict[str, Any], **options: Any) -> tuple[Provider, ...]:
        return configured(catalog, [ProviderDocument.model_validate(document) for document in documents], **options)

    return made
