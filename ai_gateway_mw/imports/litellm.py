"""LiteLLM's `config.yaml` -> one policy with the action `ai-gateway`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ai_gateway_mw.imports.hiding import Hiding
from ai_gateway_mw.imports.result import Imported
from ai_gateway_mw.policy import Node, Path, duration_text
from ai_gateway_mw.stores import Stores

# LiteLLM's prefixes: providers of our catalogue, and addresses of others that speak OpenAI's format.
_PROVIDERS: Final = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "azure": "azure-openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "groq": "groq",
    "xai": "xai",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "moonshot": "moonshotai",
    "zai": "z-ai",
    "hyperbolic": "hyperbolic",
}
_ADDRESSES: Final = {
    "mistral": "https://api.mistral.ai/v1",
    "together_ai": "https://api.together.xyz/v1",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "perplexity": "https://api.perplexity.ai",
    "cerebras": "https://api.cerebras.ai/v1",
    "nvidia_nim": "https://integrate.api.nvidia.com/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "ollama": "http://localhost:11434/v1",
    "ollama_chat": "http://localhost:11434/v1",
}
_OWN: Final = frozenset({"hosted_vllm", "vllm", "openai_like", "custom_openai", "lm_studio", "llamafile", "xinference"})
_BY_NAME: Final = (
    ("gpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding", "openai"),
) + (
    ("dall-e", "openai"),
    ("whisper", "openai"),
    ("claude", "anthropic"),
    ("gemini", "google"),
    ("grok", "xai"),
    ("deepseek", "deepseek"),
)
_VARIABLE: Final = "os.environ/"
_LIMIT: Final = "limits of tokens belong to gateway keys: `ai-gateway keys create --help`"
_LEARNED: Final = "quotas of providers are learned from their answers; `ai.keys` shows them to `api_key_selection`"
_INSTEAD: Final = {
    "litellm_params.rpm": _LEARNED,
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
_NO_KEYS: Final = frozenset({"", "none", "null", "dummy", "empty", "fake", "fake-key", "anything", "not-needed", "x"})
_DONE: Final = frozenset({"model", "api_key", "api_base", "base_url", "custom_llm_provider"})


@dataclass(slots=True, eq=False)
class _Provider:
    """A provider of the policy while it is put together."""

    id: str
    base_url: str = ""
    keys: list[str] = field(default_factory=list)
    models: dict[str, list[str]] = field(default_factory=dict)
    is_open: bool = False  # a wildcard: it serves models that are not listed

    def as_data(self) -> dict[str, Any]:
        models = [{"id": id_, **({"id_aliases": names} if names else {})} for id_, names in self.models.items()]
        return {
            "id": self.id,
            **({"base_url": self.base_url} if self.base_url else {}),
            **({"api_keys": [{"value": key} for key in self.keys]} if self.keys else {}),
            **({"models": models} if models else {}),
        }


def import_litellm(root: Node, stores: Stores) -> Imported:
    """The policy of a proxy: models with aliases, keys, fallbacks, limits, and the key of its clients."""
    imported = Imported("LiteLLM configuration")
    _LiteLLM(root, imported, stores).run()
    return imported


class _LiteLLM:
    """One configuration."""

    def __init__(self, root: Node, imported: Imported, stores: Stores) -> None:
        self._root = root
        self._imported = imported
        self._hiding = Hiding(imported)
        self._catalog = stores.catalog
        self._providers: dict[tuple[str, str], _Provider] = {}
        self._limits: dict[str, int] = {}
        self._groups: dict[str, list[tuple[_Provider, str]]] = {}

    def run(self) -> None:
        models = self._root.children.get("model_list")
        for deployment in models.items if models else ():
            self._deployment(deployment)
        self._spread()
        self._fallbacks()
        self._rest()
        providers = [provider.as_data() for provider in self._providers.values()]
        if not providers:
            place = models.place if models else self._root.place
            self._imported.remark(place, "no model of this file could be carried over", "write `providers` yourself")
        config: dict[str, Any] = {"only_allow_configured_providers": True}
        if providers and not any(provider.is_open for provider in self._providers.values()):
            config["only_allow_configured_models"] = True
        config |= {"providers": providers, **self._selection(), **self._timeouts()}
        rules = [*self._auth(), *self._rate_limits(), {"actions": [{"type": "ai-gateway", "config": config}]}]
        policy = self._hiding.whole({"on_http_request": rules})
        self._imported.add("litellm", policy, "LiteLLM configuration")

    def _deployment(self, node: Node) -> None:
        name, params = _text(node, ("model_name",)), node.children.get("litellm_params")
        model = _text(node, ("litellm_params", "model"))
        if not name or params is None or not model:
            self._imported.remark(node.place, "this entry has no `model_name` or no `model`, and was left out")
            return
        provider = self._provider(name, model, params)
        self._ignored(node, name)
        if provider is None:
            return
        id_ = model.partition("/")[2] if model.partition("/")[0] in _PREFIXES else model
        if "*" in model or "*" in name:
            provider.is_open = True
        else:
            aliases = provider.models.setdefault(id_, [])
            if name not in (id_, *aliases):
                aliases.append(name)
            self._groups.setdefault(name, []).append((provider, id_))
        self._key(name, provider, params)
        rpm = params.children.get("rpm")
        if rpm is not None and isinstance(rpm.value, int) and rpm.value > 0:
            self._limits[name] = self._limits.get(name, 0) + rpm.value

    def _provider(self, name: str, model: str, params: Node) -> _Provider | None:
        prefix = _text(params, ("custom_llm_provider",)) or (model.partition("/")[0] if "/" in model else "")
        if not prefix:
            prefix = next((of for begin, of in _BY_NAME if model.startswith(begin)), "openai")
            prefix = {"google": "gemini"}.get(prefix, prefix)
        place = params.children["model"].place
        base = self._base_url(name, params)
        if base is None:
            return None
        if prefix in _PROVIDERS:
            id_ = _PROVIDERS[prefix]
            known = self._catalog.provider(id_)
            if prefix == "azure" and base:
                base = base if base.endswith("/v1") else f"{base}/openai/v1"
            if known is None or (not known.base_url and not base):
                self._imported.remark(place, f"the address of {model} is not given; it was left out", "add `base_url`")
                return None
            return self._made(id_, base)
        if prefix in _OWN or prefix in _ADDRESSES:
            base = _versioned(base) if base and prefix.startswith("ollama") else base or _ADDRESSES.get(prefix, "")
            if base:
                return self._made(prefix.replace("_", "-"), base)
            self._imported.remark(place, f"the address of {model} is not given; it was left out", "add `base_url`")
            return None
        if base:
            return self._made(prefix.replace("_", "-"), base)
        self._imported.remark(
            place, f"nobody here knows the provider `{prefix}` of {name}", "name it in `providers`, with its `base_url`"
        )
        return None

    def _base_url(self, name: str, params: Node) -> str | None:
        """The address that is given, or empty text; None where it cannot be used."""
        for key in ("api_base", "base_url"):
            text = _text(params, (key,)).rstrip("/")
            if text.startswith(_VARIABLE):
                variable = text.removeprefix(_VARIABLE)
                self._imported.remark(
                    params.children[key].place,
                    f"the address of {name} is in the variable {variable}; the model was left out",
                    "a `base_url` is fixed: import again with the address itself in its place",
                )
                return None
            if text:
                return text
        return ""

    def _made(self, id_: str, base: str) -> _Provider:
        """The provider at an address; a second address of the same one gets a name of its own."""
        found = self._providers.get((id_, base))
        if found is None:
            number = sum(1 for known, _ in self._providers if known == id_) + 1
            own = id_ if number == 1 else f"{id_}-{number}"
            found = self._providers[id_, base] = _Provider(own, base)
        return found

    def _key(self, name: str, provider: _Provider, params: Node) -> None:
        node = params.children.get("api_key")
        text = str(node.text) if node is not None and node.value is not None else ""
        if node is None or text.lower() in _NO_KEYS:
            known = self._catalog.provider(provider.id)
            if known is not None and known.needs_key and not provider.keys:
                variable = f"{provider.id.upper().replace('-', '_')}_API_KEY"
                provider.keys.append(f"${{{self._hiding.of_environment(variable, params.place)}}}")
            return
        if text.startswith(_VARIABLE):
            key = self._hiding.of_environment(text.removeprefix(_VARIABLE), node.place)
        else:
            key = self._hiding.call(text, provider.id, node.place)
        value = f"${{{key}}}"
        if value not in provider.keys:
            if provider.keys:
                self._imported.remark(
                    node.place,
                    f"the key of {name} is one of the keys of `{provider.id}` now, which serve all its models",
                    "to keep it apart, write an `api_key_selection`",
                )
            provider.keys.append(value)

    def _ignored(self, node: Node, name: str) -> None:
        for key in node.children["litellm_params"].children:
            if key in _DONE or key == "rpm":
                continue
            place = node.children["litellm_params"].key_place(key)
            instead = _INSTEAD.get(f"litellm_params.{key}", "set it with the action's `body`, or in the client")
            self._imported.remark(place, f"`{key}` of {name} was left out", instead)
        for key in node.children:
            if key not in ("model_name", "litellm_params") and key != "model_info":
                self._imported.remark(node.key_place(key), f"`{key}` of {name} was left out")
            elif key == "model_info" and set(map(str, node.children["model_info"].children)) - {"id", "mode"}:
                self._imported.remark(node.key_place(key), f"`{key}` of {name} was left out", _INSTEAD["model_info"])

    def _fallbacks(self) -> None:
        """A fallback answers to the name of what it stands in for, after it."""
        for section in ("router_settings", "litellm_settings"):
            for entry in self._items((section, "fallbacks")):
                for name, node in entry.children.items():
                    self._fallback(str(name), node)
            for node in self._items((section, "default_fallbacks")):
                for name in list(self._groups):
                    self._fallback(name, node)
        aliases, missing = self._root.at(("router_settings", "model_group_alias"))
        if not missing:
            for alias, node in aliases.children.items():
                self._alias(str(alias), _text(node, ("model",)) or str(node.text), node)

    def _fallback(self, name: str, node: Node) -> None:
        targets = list(node.items) if isinstance(node.value, list) else [node]
        for target in targets:
            self._alias(name, str(target.text), target)

    def _alias(self, alias: str, of: str, node: Node) -> None:
        if of not in self._groups:
            message = f"`{of}`, which stands in for `{alias}`, is no model of this policy"
            self._imported.remark(node.place, message)
            return
        group = self._groups.setdefault(alias, [])
        first = min(map(self._position, group), default=(-1, -1))
        for provider, id_ in self._groups[of]:
            if alias not in (id_, *provider.models[id_]):
                provider.models[id_].append(alias)
            if (provider, id_) in group:
                continue
            if self._position((provider, id_)) < first:
                message = f"`{of}` stands before `{alias}` now, which it stands in for, and is tried first"
                self._imported.remark(node.place, message, "put its provider, or its model, after the other one")
            group.append((provider, id_))

    def _position(self, member: tuple[_Provider, str]) -> tuple[int, int]:
        """Where a model stands in the policy: in this order they are tried."""
        provider, id_ = member
        return list(self._providers.values()).index(provider), list(provider.models).index(id_)

    def _spread(self) -> None:
        for name, group in self._groups.items():
            if len({id(provider) for provider, _ in group}) > 1:
                node = self._root.children["model_list"]
                message = f"the deployments of `{name}` are at several providers, which are tried in their order"
                self._imported.remark(
                    node.place, message, "to spread requests: `model_selection`, ai.models.randomize()"
                )

    def _selection(self) -> dict[str, Any]:
        """Where a fallback is listed before what it stands in for, the order has to be told."""
        strategy = _text(self._root, ("router_settings", "routing_strategy"))
        node = self._root.at(("router_settings", "routing_strategy"))[0]
        several = any(len(provider.keys) > 1 for provider in self._providers.values())
        if strategy in ("", "simple-shuffle"):
            return {"api_key_selection": {"strategy": ["ai.keys.randomize()"]}} if several else {}
        if strategy in ("usage-based-routing", "usage-based-routing-v2", "least-busy"):
            chosen = ["ai.keys.filter(k, k.quota.remaining_requests > 0)", "ai.keys"]
            return {"api_key_selection": {"strategy": chosen}}
        instead = "write a `model_selection`, such as ai.models.sortBy(m, m.metrics.global.latency.upstream_ms_avg)"
        self._imported.remark(node.place, f"`{strategy}` has no counterpart", instead)
        return {}

    def _timeouts(self) -> dict[str, Any]:
        for path in (("router_settings", "timeout"), ("litellm_settings", "request_timeout")):
            node, missing = self._root.at(path)
            if not missing and isinstance(node.value, int | float) and not isinstance(node.value, bool):
                seconds = float(node.value)
                whole = {"total_timeout": duration_text(2 * seconds)} if seconds > 180 else {}
                return {"per_request_timeout": duration_text(seconds), **whole} if seconds > 0 else {}
        return {}

    def _auth(self) -> list[dict[str, Any]]:
        node, missing = self._root.at(("general_settings", "master_key"))
        if missing or node.value is None:
            message = "there is no `master_key`: who reaches the port may use the keys of this policy"
            self._imported.remark(self._root.place, message, "add `gateway-auth`; `ai-gateway keys new` makes a key")
            return []
        note = "a gateway key, from `ai-gateway keys new`: it takes the place of LiteLLM's master key"
        call = self._hiding.another("gateway-key", node.place, note)
        self._imported.remark(
            node.place,
            "the master key is not carried over: gateway keys have a form of their own",
            "make one with `ai-gateway keys new`, store it as that secret, and give it to the clients",
        )
        keys = [{"name": "master", "value": f"${{{call}}}"}]
        return [{"name": "who is it", "actions": [{"type": "gateway-auth", "config": {"keys": keys}}]}]

    def _rate_limits(self) -> Iterator[dict[str, Any]]:
        for name, limit in self._limits.items():
            quoted = "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"
            limited = {
                "name": f"requests for {name}",
                "algorithm": "sliding_window",
                "capacity": limit,
                "rate": "60s",
                "bucket_key": [quoted],
            }
            yield {
                "name": f"limit of {name}",
                "expressions": [f"has(req.body.model) && req.body.model == {quoted}"],
                "actions": [{"type": "rate-limit", "config": limited}],
            }

    def _rest(self) -> None:
        done = {
            "router_settings": {"fallbacks", "default_fallbacks", "routing_strategy", "timeout", "model_group_alias"},
            "litellm_settings": {"fallbacks", "default_fallbacks", "request_timeout"},
            "general_settings": {"master_key"},
        }
        for section, node in self._root.children.items():
            if section == "model_list":
                continue
            if section not in done:
                instead = _INSTEAD.get(str(section), "")
                self._imported.remark(self._root.key_place(section), f"`{section}` was left out", instead)
                continue
            for key in node.children:
                if key not in done[str(section)]:
                    instead = _INSTEAD.get(f"{section}.{key}", "it has no counterpart")
                    self._imported.remark(node.key_place(key), f"`{section}.{key}` was left out", instead)

    def _items(self, path: Path) -> Iterator[Node]:
        node, missing = self._root.at(path)
        return node.items if not missing and isinstance(node.value, list) else iter(())


_PREFIXES: Final[frozenset[str]] = frozenset(_PROVIDERS) | frozenset(_ADDRESSES) | _OWN


def _versioned(base: str) -> str:
    return base if base.endswith("/v1") else f"{base}/v1"


def _text(node: Node, path: Path) -> str:
    at, missing = node.at(path)
    return "" if missing or at.children or at.value is None else str(at.text)
