"""LiteLLM's proxy: its configuration -> a policy."""

from ai_gateway_mw.imports.litellm.configuration import import_litellm

__all__ = ["import_litellm"]
