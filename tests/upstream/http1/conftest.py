"""Both event loops that the transport is used in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ai_gateway_mw.upstream.http1 import HTTPTransport


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def transport() -> AsyncIterator[HTTPTransport]:
    async with HTTPTransport() as made:
        yield made
