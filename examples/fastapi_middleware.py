"""The gateway as middleware of a FastAPI app: it takes the AI paths, and the rest of the app stays as it is.

    export AI_GATEWAY_SECRET__OPENAI__PRIMARY=sk-... AI_GATEWAY_SECRET__OPENAI__BACKUP=sk-...
    uvicorn examples.fastapi_middleware:app

`http://127.0.0.1:8000/v1` is then a base URL for any OpenAI SDK, and `http://127.0.0.1:8000/hello` is the app's own.
POLICY names another policy file.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI

from ai_gateway_mw import Gateway, GatewayMiddleware

POLICY = Path(__file__).parents[1] / "policies" / "key-failover.yaml"

gateway = Gateway.from_file(os.environ.get("POLICY", POLICY))
app = FastAPI(lifespan=gateway.lifespan)
app.add_middleware(GatewayMiddleware, gateway=gateway)


@app.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": "from the app around the gateway"}
