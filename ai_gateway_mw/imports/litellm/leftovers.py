"""What of LiteLLM's configuration has no place in a policy: each such setting is remarked on, with the way instead."""

from __future__ import annotations

from typing import Final

from ai_gateway_mw.imports.result import Imported
from ai_gateway_mw.policy import Node

_LIMIT: Final = "limits of tokens belong to gateway keys: `ai-gateway keys create --help`"
_INSTEAD: Final = {
    "litellm_params.tpm": _LIMIT,
    "litellm_params.weight": "write an `api_key_selection`, such as ai.keys.randomize()",
    "litellm_params.timeout": "`per_request_timeout` of the action holds for all models",
    "litellm_params.max_retries": "each key and provider is tried once; see docs/failover.md",
    "litellm_params.api_version": "the address ends with /openai/v1, which needs no version",
    "model_info": "notes belong into `metadata` of the model, prices into the `pricing` of the catalogue",
    "router_settings.num_retries": "each key and provider is tried once; see docs/failover.md",
    "router_settings.retry_after": "providers say themselves when to come back",
    "router_settings.allowed_fails": "keys that fail cool down by themselves; see docs/failover.md",
    "router_settings.cooldown_time": "keys that fail cool down by themselves; see docs/failover.md",
    "router_settings.redis_host": "the workers of one machine share their limits without a server",
    "router_settings.redis_port": "the workers of one machine share their limits without a server",
    "router_settings.redis_password": "the workers of one machine share their limits without a server",
    "router_settings.enable_pre_call_checks": "set `max_input_tokens`",
    "litellm_settings.num_retries": "each key and provider is tried once; see docs/failover.md",
    "litellm_settings.drop_params": "list `unsupported_params` at the model",
    "litellm_settings.success_callback": "read the request log, or `ai-gateway usage`",
    "litellm_settings.failure_callback": "read the request log",
    "litellm_settings.callbacks": "read the request log; there is no code of users",
    "litellm_settings.cache": "answers are not cached",
    "litellm_settings.cache_params": "answers are not cached",
    "litellm_settings.set_verbose": "the request log has an entry for each request",
    "litellm_settings.json_logs": "the request log is JSON",
    "litellm_settings.context_window_fallbacks": "give the model with more room the alias, after the other one",
    "litellm_settings.content_policy_fallbacks": "an answer of the provider is passed on as it is",
    "general_settings.database_url": "set AI_GATEWAY_DATABASE_URL; keys do not move: make new ones",
    "general_settings.alerting": "watch the request log",
    "general_settings.store_model_in_db": "models are in the policy only",
    "environment_variables": "set them where the gateway runs",
}
# What is carried over.
_OF_DEPLOYMENTS: Final = frozenset({"model", "api_key", "api_base", "base_url", "custom_llm_provider", "rpm"})
_OF_SECTIONS: Final = {
    "router_settings": {"fallbacks", "default_fallbacks", "routing_strategy", "timeout", "model_group_alias"},
    "litellm_settings": {"fallbacks", "default_fallbacks", "request_timeout"},
    "general_settings": {"master_key"},
}


def remark_on_deployment(imported: Imported, node: Node, name: str) -> None:
    """Remark on what one entry of `model_list` says that has no place in a policy."""
    for key in node.children["litellm_params"].children:
        if key in _OF_DEPLOYMENTS:
            continue
        place = node.children["litellm_params"].key_place(key)
        instead = _INSTEAD.get(f"litellm_params.{key}", "set it with the action's `body`, or in the client")
        imported.remark(place, f"`{key}` of {name} was left out", instead)
    for key in node.children:
        if key not in ("model_name", "litellm_params") and key != "model_info":
            imported.remark(node.key_place(key), f"`{key}` of {name} was left out")
        elif key == "model_info" and set(map(str, node.children["model_info"].children)) - {"id", "mode"}:
            imported.remark(node.key_place(key), f"`{key}` of {name} was left out", _INSTEAD["model_info"])


def remark_on_rest(imported: Imported, root: Node) -> None:
    """The same for all other sections."""
    for section, node in root.children.items():
        if section == "model_list":
            continue
        if section not in _OF_SECTIONS:
            instead = _INSTEAD.get(str(section), "")
            imported.remark(root.key_place(section), f"`{section}` was left out", instead)
            continue
        for key in node.children:
            if key not in _OF_SECTIONS[str(section)]:
                instead = _INSTEAD.get(f"{section}.{key}", "it has no counterpart")
                imported.remark(node.key_place(key), f"`{section}.{key}` was left out", instead)
