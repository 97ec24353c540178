"""What the corpus uses and is not there yet. To be emptied, and then deleted.

A policy with one of these types is expected to be refused for that alone. A type that is in `ACTIONS` does not count
any more, whether it still stands here or not.
"""

from __future__ import annotations

PENDING = frozenset(
    {
        "basic-auth",
        "circuit-breaker",
        "close-connection",
        "compress-response",
        "forward-internal",
        "http-request",
        "jwt-validation",
        "oauth",
        "openid-connect",
        "redirect",
        "request-body-find-replace",
        "response-body-find-replace",
        "sse-find-replace",
        "url-rewrite",
        "verify-webhook",
    }
)
