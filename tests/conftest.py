"""What every test may ask for by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

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
