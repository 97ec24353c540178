"""A config for each action type with settings, which shows what it is for: editors offer it, and a test loads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "add-headers": {"headers": {"x-request-id": "${req.id}"}},
    "ai-gateway": {
        "only_allow_configured_providers": True,
        "providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('openai', 'primary')}"}]}],
    },
    "basic-auth": {"credentials": [{"username": "team", "password": "${secrets.get('team', 'password')}"}]},
    "circuit-breaker": {"error_threshold": 0.5, "volume_threshold": 20, "tripped_duration": "30s"},
    "close-connection": {"enforce": True},
    "compress-response": {"algorithms": ["gzip"]},
    "custom-response": {
        "status_code": 503,
        "headers": {"content-type": "text/plain"},
        "body": "Back soon, ${conn.client_ip}.",
    },
    "deny": {"status_code": 403},
    "forward-internal": {"url": "https://orders.internal"},
    "gateway-auth": {"keys": [{"name": "team", "value": "${secrets.get('gateway', 'team')}", "scopes": ["chat"]}]},
    "http-request": {
        "url": "https://entitlements.example.com/check",
        "query_params": [{"key": "user", "value": "${req.headers['x-user'][0]}"}],
        "on_error": "halt",
    },
    "jwt-validation": {
        "issuer": {"allow_list": [{"value": "https://login.example.com/"}]},
        "audience": {"allow_list": [{"value": "https://ai.example.com"}]},
        "http": {
            "tokens": [{"type": "access_token", "method": "header", "name": "authorization", "prefix": "bearer "}]
        },
        "jws": {
            "allowed_algorithms": ["RS256"],
            "keys": {"sources": {"additional_jkus": ["https://login.example.com/.well-known/jwks.json"]}},
        },
    },
    "log": {"metadata": {"path": "${req.url.path}"}},
    "oauth": {
        "provider": "github",
        "client_id": "${secrets.get('github', 'client-id')}",
        "client_secret": "${secrets.get('github', 'client-secret')}",
    },
    "openid-connect": {
        "issuer_url": "https://login.example.com",
        "client_id": "${secrets.get('idp', 'client-id')}",
        "client_secret": "${secrets.get('idp', 'client-secret')}",
    },
    "rate-limit": {
        "name": "per client",
        "algorithm": "sliding_window",
        "capacity": 100,
        "rate": "60s",
        "bucket_key": ["conn.client_ip"],
    },
    "redact": {"presets": ["email", "secrets"], "replacement": "[$preset]"},
    "redirect": {"from": "^http://", "to": "https://", "status_code": 308},
    "remove-headers": {"headers": ["x-internal"]},
    "request-body-find-replace": {"replacements": [{"from": r"\bPROJECT ORION\b", "to": "the project"}]},
    "response-body-find-replace": {"replacements": [{"from": r"\bhttp://", "to": "https://"}]},
    "restrict-ips": {"allow": ["10.0.0.0/8", "::1/128"]},
    "set-vars": {"vars": [{"tier": "${req.headers['x-tier'][0]}"}]},
    "sse-find-replace": {
        "across_messages": 64,
        "replacements": [{"from": r"\b\d{3}-\d{2}-\d{4}\b", "to": "[ssn]"}],
    },
    "url-rewrite": {"from": "/llm/v1/", "to": "/v1/"},
    "verify-webhook": {"provider": "github", "secret": "${secrets.get('github', 'webhook')}"},
}
