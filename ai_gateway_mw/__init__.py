"""An AI gateway for Python web apps: composable ASGI middleware, driven by a Traffic Policy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.version import VERSION

if TYPE_CHECKING:
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
]
__version__ = VERSION


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for: `ai-gateway --help` and `ai_gateway_mw.cel` alone
    need none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    errors = import_module("ai_gateway_mw.errors")
    return getattr(errors if hasattr(errors, name) else import_module("ai_gateway_mw.middleware"), name)
