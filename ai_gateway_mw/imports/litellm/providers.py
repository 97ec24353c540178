"""The providers of the policy, put together from LiteLLM's deployments: whose a model is, where, and with which keys.

Under which names clients ask for it, and what is tried in its stead, is left to `configuration`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ai_gateway_mw.imports.hiding import Hiding
from ai_gateway_mw.imports.result import Imported
from ai_gateway_mw.policy import Node, Path
from ai_gateway_mw.providers import Catalog

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
_NO_KEYS: Final = frozenset({"", "none", "null", "dummy", "empty", "fake", "fake-key", "anything", "not-needed", "x"})
_PREFIXES: Final[frozenset[str]] = frozenset(_PROVIDERS) | frozenset(_ADDRESSES) | _OWN


@dataclass(slots=True, eq=False)
class PolicyProvider:
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


class Providers:
    """Those of one policy, in the order in which its models are tried."""

    def __init__(self, imported: Imported, hiding: Hiding, catalog: Catalog) -> None:
        self._imported = imported
        self._hiding = hiding
        self._catalog = catalog
        self._providers: dict[tuple[str, str], PolicyProvider] = {}

    def __iter__(self) -> Iterator[PolicyProvider]:
        return iter(self._providers.values())

    def of(self, name: str, model: str, params: Node) -> PolicyProvider | None:
        """The provider of a deployment; None where it cannot be told, which is remarked on."""
        prefix = text_at(params, ("custom_llm_provider",)) or (model.partition("/")[0] if "/" in model else "")
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
            text = text_at(params, (key,)).rstrip("/")
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

    def _made(self, id_: str, base: str) -> PolicyProvider:
        """The provider at an address; a second address of the same one gets a name of its own."""
        found = self._providers.get((id_, base))
        if found is None:
            number = sum(1 for known, _ in self._providers if known == id_) + 1
            own = id_ if number == 1 else f"{id_}-{number}"
            found = self._providers[id_, base] = PolicyProvider(own, base)
        return found

    def add_key(self, name: str, provider: PolicyProvider, params: Node) -> None:
        """Add the key of a deployment to those of its provider, as a secret."""
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


def own_name(model: str) -> str:
    """What the provider itself calls a model: the name without LiteLLM's prefix."""
    prefix, _, rest = model.partition("/")
    return rest if prefix in _PREFIXES else model


def _versioned(base: str) -> str:
    return base if base.endswith("/v1") else f"{base}/v1"


def text_at(node: Node, path: Path) -> str:
    """The plain value there as text, or empty text."""
    at, missing = node.at(path)
    return "" if missing or at.children or at.value is None else str(at.text)
