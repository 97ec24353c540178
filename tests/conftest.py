"""What every test may ask for by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ai_gateway_mw.database import Installation
from tests.databases import Cluster, installation_of, postgresql_cluster
from tests.fake_upstream import ThreadedUpstream, Upstream


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A fake provider in the test's own event loop."""
    async with Upstream() as running:
        yield running


@pytest.fixture
def threaded_upstream() -> Iterator[ThreadedUpstream]:
    """The same in a thread of its own, for synchronous SDKs and for gateways in another process."""
    with ThreadedUpstream() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL of this process; started by the first test that asks for it."""
    with postgresql_cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Installation]:
    """A new installation, once in each kind of database; the test's `tmp_path` is its data directory."""
    async with installation_of(request.param, tmp_path, request) as installation:
        yield installation
