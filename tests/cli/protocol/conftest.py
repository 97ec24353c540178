"""Servers that the tests of one module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.protocol.talking import BRISK, App, served


@pytest.fixture(scope="module")
def app() -> App:
    return App()


@pytest.fixture(scope="module")
def url(app: App) -> Iterator[str]:
    with served(app) as url:
        yield url


@pytest.fixture(scope="module")
def brisk() -> Iterator[str]:
    with served(limits=BRISK) as url:
        yield url
