"""A gateway put together from single layers, without a policy file: who, from where, which keys, and failover.

    export TEAM_KEY=$(ai-gateway keys new) OPENAI_API_KEY=sk-... OPENAI_BACKUP_KEY=sk-...
    uvicorn examples.layers_by_hand:app

Callers present the team's gateway key, as an OpenAI SDK does with its `api_key`. OPENAI_BASE_URL leads elsewhere.
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.types import ASGIApp

from ai_gateway_mw import (
    AuthMiddleware,
    FailoverMiddleware,
    IPAllowlistMiddleware,
    KeySelectionMiddleware,
    PassthroughMiddleware,
)

# One argument of `secrets.get` reads a plain variable; requests with a model of another provider are refused.
OPENAI = {
    "id": "openai",
    "base_url": os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "api_keys": [{"value": "${secrets.get('OPENAI_API_KEY')}"}, {"value": "${secrets.get('OPENAI_BACKUP_KEY')}"}],
}

app: ASGIApp = Starlette()  # what is not for the gateway goes here
app = PassthroughMiddleware(app, providers=[OPENAI])
app = FailoverMiddleware(app, total_timeout="2m")
app = KeySelectionMiddleware(app, providers=[OPENAI], only_allow_configured_providers=True)
app = AuthMiddleware(app, keys=["${secrets.get('TEAM_KEY')}"])
app = IPAllowlistMiddleware(app, allow=["127.0.0.0/8", "::1/128", "10.0.0.0/8"])
