"""An AI gateway for Python web apps: composable ASGI middleware, driven by a Traffic Policy."""

from ai_gateway_mw.errors import GatewayError, Place, PolicyError, Problem
from ai_gateway_mw.middleware import (
    AuthMiddleware,
    FailoverMiddleware,
    Gateway,
    GatewayMiddleware,
    IPAllowlistMiddleware,
    KeySelectionMiddleware,
    PassthroughMiddleware,
)
from ai_gateway_mw.version import VERSION as __version__

__all__ = [
    "AuthMiddleware",
    "FailoverMiddleware",
    "Gateway",
    "GatewayError",
    "GatewayMiddleware",
    "IPAllowlistMiddleware",
    "KeySelectionMiddleware",
    "PassthroughMiddleware",
    "Place",
    "PolicyError",
    "Problem",
    "__version__",
]
