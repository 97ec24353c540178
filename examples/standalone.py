"""The gateway as an app of its own, for any ASGI server; `ai-gateway run` is the same with more around it.

    uvicorn examples.standalone:app

The policy is `policies/default.yaml`, or the file that POLICY names: by default callers reach every provider with their
own keys. `GET /healthz` says that it is alive, `GET /readyz` that it can serve, `GET /ip` which address it sees.
"""

from __future__ import annotations

import os
from pathlib import Path

from ai_gateway_mw import Gateway

POLICY = Path(__file__).parents[1] / "policies" / "default.yaml"

app = Gateway.from_file(os.environ.get("POLICY", POLICY)).app
