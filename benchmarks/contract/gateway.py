"""The gateway that a campaign asks: `ai-gateway run` as a process, in front of providers that the campaign plays.

Every provider has a host name of its own, which the setting `HOSTS` leads to the port of a fake upstream: what the
gateway learns of one origin stays with it, and cases do not disturb each other.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.fake_upstream import Received
from tests.servers import GatewayProcess

_STARTING = 180.0  # seconds: several workers on a machine that is busy with much else
_DOMAIN = ".internal"
_SURFACES = [{"format": "openai"}, {"format": "anthropic"}]


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider of the policy: `name` is its id and host, `keys` so many keys, `base_url` in place of the usual;
    `pricing` is what its model costs."""

    name: str
    model: str
    keys: int = 2
    base_url: str = ""
    port: int = 0
    pricing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key_names(self) -> list[str]:
        return [f"sk-{self.name}-{number}" for number in range(1, self.keys + 1)]

    def document(self) -> dict[str, Any]:
        return {
            "id": self.name,
            "base_url": self.base_url or f"http://{self.name}{_DOMAIN}/v1",
            "api_keys": [{"value": f"${{secrets.get('keys', '{name}')}}"} for name in self.key_names],
            "models": [{"id": self.model, **({"pricing": self.pricing} if self.pricing else {})}],
            "supported_api_surfaces": _SURFACES,
        }


def provider_of(received: Received) -> str:
    """The provider that a request was sent to."""
    return received.headers.get("host", "").partition(_DOMAIN)[0]


def policy(providers: Sequence[Provider], *, first: Sequence[Mapping[str, Any]] = (), **config: Any) -> dict[str, Any]:
    """A policy with `ai-gateway` for these providers and no others; `first` are rules that come before it."""
    config = {
        "providers": [provider.document() for provider in providers],
        "only_allow_configured_providers": True,
        **config,
    }
    return {"on_http_request": [*first, {"actions": [{"type": "ai-gateway", "config": config}]}]}


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway at work, and the file of its policy."""

    process: GatewayProcess
    file: Path

    @property
    def port(self) -> int:
        return self.process.port


@dataclass(frozen=True, slots=True)
class Prepared:
    """A directory with all that a gateway needs to start, as often as one likes."""

    file: Path
    environment: Mapping[str, str]

    @classmethod
    def of(
        cls,
        directory: Path,
        providers: Sequence[Provider],
        upstream: int,
        *,
        settings: Mapping[str, str] | None = None,
        **config: Any,
    ) -> Self:
        """For these providers; those without a port of their own are played on the port `upstream`."""
        _write_keys(directory / "secrets" / "keys", providers)
        file = directory / "policy.yaml"
        file.write_text(json.dumps(policy(providers, **config)))
        hosts = ",".join(f"{each.name}{_DOMAIN}=127.0.0.1:{each.port or upstream}" for each in providers)
        environment = {
            "AI_GATEWAY_SECRETS": "files",
            "AI_GATEWAY_SECRETS_DIR": str(directory / "secrets"),
            "AI_GATEWAY_HOSTS": hosts,
            **{f"AI_GATEWAY_{setting}": value for setting, value in (settings or {}).items()},
        }
        return cls(file, environment)

    @asynccontextmanager
    async def started(self, *arguments: str, module: str = "ai_gateway_mw") -> AsyncIterator[Running]:
        """A gateway at work, in a process group of its own."""
        process = GatewayProcess(
            "run",
            self.file,
            *arguments,
            environment=self.environment,
            directory=self.file.parent,
            module=module,
            own_group=True,
            patience=_STARTING,
        )
        await asyncio.to_thread(process.__enter__)
        try:
            yield Running(process, self.file)
        finally:
            await asyncio.to_thread(process.__exit__, RuntimeError)  # its exit code is no concern but of P18


@asynccontextmanager
async def running(
    providers: Sequence[Provider],
    upstream: int,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    module: str = "ai_gateway_mw",
    **config: Any,
) -> AsyncIterator[Running]:
    """A gateway for these providers; those without a port of their own are played on the port `upstream`. `module` is
    what the process runs."""
    with tempfile.TemporaryDirectory(prefix="contract-") as name:
        prepared = Prepared.of(Path(name), providers, upstream, settings=settings, **config)
        async with prepared.started(*arguments, module=module) as gateway:
            yield gateway


def _write_keys(vault: Path, providers: Sequence[Provider]) -> None:
    vault.mkdir(parents=True)
    for provider in providers:
        for name in provider.key_names:
            (vault / name).write_text(name)
