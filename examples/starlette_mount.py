"""Two gateways mounted in a Starlette app, each with a policy of its own; they share nothing.

    export AI_GATEWAY_SECRET__OPENAI__API_KEY=sk-...
    uvicorn examples.starlette_mount:app

`http://127.0.0.1:8000/ai/v1` serves with the key of the operator, `http://127.0.0.1:8000/own/v1` with the caller's own.
POLICY names another policy file for the first.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount

from ai_gateway_mw import Gateway

POLICIES = Path(__file__).parents[1] / "policies"

shared = Gateway.from_file(os.environ.get("POLICY", POLICIES / "one-provider.yaml"))
own = Gateway.from_file(POLICIES / "passthrough.yaml")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """A mounted app has no lifespan of its own, so this one opens both gateways."""
    async with shared.lifespan(app), own.lifespan(app):
        yield


app = Starlette(routes=[Mount("/ai", shared.app), Mount("/own", own.app)], lifespan=lifespan)
