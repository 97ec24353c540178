"""The ASGI edge: a whole policy around an app, or single actions by hand."""

from ai_gateway_mw.middleware.gateway import Gateway, GatewayMiddleware
from ai_gateway_mw.middleware.stages import (
    AuthMiddleware,
    FailoverMiddleware,
    IPAllowlistMiddleware,
    KeySelectionMiddleware,
    PassthroughMiddleware,
)

__all__ = [
    "AuthMiddleware",
    "FailoverMiddleware",
    "Gateway",
    "GatewayMiddleware",
    "IPAllowlistMiddleware",
    "KeySelectionMiddleware",
    "PassthroughMiddleware",
]
