"""A config for each action type that shows what it is for: editors offer it, and a test loads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "add-headers": {"headers": {"x-request-id": "${req.id}"}},
    "ai-gateway": {
        "only_allow_configured_providers": True,
        "providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('openai', 'primary')}"}]}],
    },
    "custom-response": {
        "status_code": 503,
        "headers": {"content-type": "text/plain"},
        "body": "Back soon, ${conn.client_ip}.",
    },
    "deny": {"status_code": 403},
    "gateway-auth": {"keys": [{"name": "team", "value": "${secrets.get('gateway', 'team')}", "scopes": ["chat"]}]},
    "log": {"metadata": {"path": "${req.url.path}"}},
    "rate-limit": {
        "name": "per client",
        "algorithm": "sliding_window",
        "capacity": 100,
        "rate": "60s",
        "bucket_key": ["conn.client_ip"],
    },
    "remove-headers": {"headers": ["x-internal"]},
    "restrict-ips": {"allow": ["10.0.0.0/8", "::1/128"]},
    "set-vars": {"vars": [{"tier": "${req.headers['x-tier'][0]}"}]},
}
