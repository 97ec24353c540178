"""A gateway whose keys are in a database, and that database as commands reach it: from a process that is no worker."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ai_gateway_mw.audit import Actor
from ai_gateway_mw.keys.store import NewKey
from ai_gateway_mw.keys.store.service import Created
from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from benchmarks.contract.client import Answer, get, post
from benchmarks.contract.gateway import Prepared, Provider, Running

MODEL: Final = "model"
ACTOR: Final = Actor("cli:benchmark")
REFUSED: Final = (401, 429)  # the latter where an address has brought a dead key too often
WORDS: Final = 5  # of an answer of the fake upstream: as many tokens
PROMPT: Final = 28  # characters of a nonce, which count as the seven tokens that the fake upstream says it read
TOKENS: Final = 7 + WORDS
PRICE: Final = {"text": {"input": 1000, "output": 2000}}
COST: Final = 17_000_000  # billionths of a dollar: what one request costs at this price
_AUTH: Final = {"actions": [{"type": "gateway-auth"}]}


@dataclass(frozen=True, slots=True)
class Site:
    """An installation: where it is, and how a gateway of it is started."""

    prepared: Prepared
    settings: Settings
    workers: int

    @property
    def data(self) -> Path:
        return self.settings.data_dir

    @property
    def database(self) -> Path:
        """The file, where it is SQLite."""
        return self.data / "gateway.db"

    async def services(self) -> Services:
        """The services of this process; to be closed by the caller."""
        return await Services.open(self.settings)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        async with self.prepared.started("--workers", str(self.workers)) as gateway:
            yield gateway


@asynccontextmanager
async def site(
    upstream: int,
    *,
    workers: int = 4,
    first: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, str] | None = None,
    database: str = "",
) -> AsyncIterator[Site]:
    """An installation with one provider, on the port `upstream`; `first` are rules after `gateway-auth`, `database` is
    the URL of one that is no SQLite."""
    with tempfile.TemporaryDirectory(prefix="contract-") as name:
        directory = Path(name)
        told = {"DATA_DIR": str(directory / "data"), **({"DATABASE_URL": database} if database else {})}
        prepared = Prepared.of(
            directory,
            [Provider("only", MODEL, pricing=PRICE)],
            upstream,
            settings={**told, **(settings or {})},
            first=[_AUTH, *first],
            per_request_timeout="60s",
        )
        url = Secret(database, "DATABASE_URL") if database else None
        yield Site(prepared, Settings(data_dir=directory / "data", database_url=url), workers)


async def new_key(services: Services, name: str, **limits: Any) -> Created:
    """A key with these limits."""
    return await services.keys.create(NewKey.model_validate({"name": name, "limits": limits}), ACTOR)


def request(
    key: str, nonce: str, *, stream: bool = False, most: int = WORDS, fields: Mapping[str, str] | None = None
) -> bytes:
    """A request that may be answered with so many tokens, and is charged for `TOKENS`; a stream says so, too."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": nonce.ljust(PROMPT, ".")}], "max_tokens": most}
    fields = {"Authorization": f"Bearer {key}", **(fields or {})}
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return post("/v1/chat/completions", body | streamed, fields)


def ready() -> bytes:
    return get("/readyz")


def code_of(answer: Answer) -> str:
    """The code of an error."""
    error = answer.json.get("error") if isinstance(answer.json, dict) else None
    return str(error.get("code", "")) if isinstance(error, dict) else ""


def nonce_in(content: str) -> str:
    """The nonce, without what was put behind it to have its length."""
    return content.rstrip(".")
