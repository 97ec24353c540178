"""LiteLLM's `config.yaml` -> one policy with `ai-gateway`: models, aliases, fallbacks, limits, timeouts, who may ask.

Whose a model is, `providers` tells; what cannot be carried over, `leftovers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ai_gateway_mw.imports.hiding import Hiding
from ai_gateway_mw.imports.litellm.leftovers import remark_on_deployment, remark_on_rest
from ai_gateway_mw.imports.litellm.providers import PolicyProvider, Providers, own_name, text_at
from ai_gateway_mw.imports.result import Imported
from ai_gateway_mw.policy import Node, Path, duration_text
from ai_gateway_mw.stores import Stores


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
        self._providers = Providers(imported, self._hiding, stores.catalog)
        self._limits: dict[str, int] = {}
        self._groups: dict[str, list[tuple[PolicyProvider, str]]] = {}

    def run(self) -> None:
        models = self._root.children.get("model_list")
        for deployment in models.items if models else ():
            self._deployment(deployment)
        self._spread()
        self._fallbacks()
        remark_on_rest(self._imported, self._root)
        providers = [provider.as_data() for provider in self._providers]
        if not providers:
            place = models.place if models else self._root.place
            self._imported.remark(place, "no model of this file could be carried over", "write `providers` yourself")
        config: dict[str, Any] = {"only_allow_configured_providers": True}
        if providers and not any(provider.is_open for provider in self._providers):
            config["only_allow_configured_models"] = True
        config |= {"providers": providers, **self._selection(), **self._timeouts()}
        rules = [*self._auth(), *self._rate_limits(), {"actions": [{"type": "ai-gateway", "config": config}]}]
        policy = self._hiding.whole({"on_http_request": rules})
        self._imported.add("litellm", policy, "LiteLLM configuration")

    def _deployment(self, node: Node) -> None:
        name, params = text_at(node, ("model_name",)), node.children.get("litellm_params")
        model = text_at(node, ("litellm_params", "model"))
        if not name or params is None or not model:
            self._imported.remark(node.place, "this entry has no `model_name` or no `model`, and was left out")
            return
        provider = self._providers.of(name, model, params)
        remark_on_deployment(self._imported, node, name)
        if provider is None:
            return
        id_ = own_name(model)
        if "*" in model or "*" in name:
            provider.is_open = True
            self._imported.remark(
                node.place,
                f"`{name}` stands for all models of `{provider.id}`, of which the catalogue may not know each",
                f"clients ask for one that it does not know as `{provider.id}:MODEL`",
            )
        else:
            aliases = provider.models.setdefault(id_, [])
            if name not in (id_, *aliases):
                aliases.append(name)
            self._groups.setdefault(name, []).append((provider, id_))
        self._providers.add_key(name, provider, params)
        rpm = params.children.get("rpm")
        if rpm is not None and isinstance(rpm.value, int) and rpm.value > 0:
            self._limits[name] = self._limits.get(name, 0) + rpm.value

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
                self._alias(str(alias), text_at(node, ("model",)) or str(node.text), node)

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

    def _position(self, member: tuple[PolicyProvider, str]) -> tuple[int, int]:
        """Where a model stands in the policy: in this order they are tried."""
        provider, id_ = member
        return list(self._providers).index(provider), list(provider.models).index(id_)

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
        strategy = text_at(self._root, ("router_settings", "routing_strategy"))
        node = self._root.at(("router_settings", "routing_strategy"))[0]
        several = any(len(provider.keys) > 1 for provider in self._providers)
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

    def _items(self, path: Path) -> Iterator[Node]:
        node, missing = self._root.at(path)
        return node.items if not missing and isinstance(node.value, list) else iter(())
