"""What the corpus uses and is not there yet. To be emptied, and then deleted.

A policy with one of these types is expected to be refused for that alone. A type that is in `ACTIONS` does not count
any more, whether it still stands here or not.
"""

from __future__ import annotations

PENDING = frozenset(
    {
        "basic-auth",
        "jwt-validation",
        "oauth",
        "openid-connect",
        "request-body-find-replace",
        "response-body-find-replace",
        "sse-find-replace",
        "verify-webhook",
    }
)
