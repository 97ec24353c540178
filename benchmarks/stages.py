"""What each stage of a request costs: `python -m benchmarks.stages [--rounds N] [--json]`.

Batches of requests go through one stage after the other, as a gateway would take each of them, in this process and
with a provider that answers at once; a stage is timed over a whole batch. The least of several rounds counts: it is
what the stage costs when nothing else disturbs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

import uvloop

from ai_gateway_mw import Gateway
from ai_gateway_mw.asgi import ASGIApp, Message, Scope
from ai_gateway_mw.context import Context
from ai_gateway_mw.keys import generate
from ai_gateway_mw.policy import Phase, validated
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.secrets import MemorySource, SecretStore
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.upstream.config import AIGatewayConfig
from ai_gateway_mw.upstream.http1 import Answer, HTTPTransport, Origin, Timeouts
from ai_gateway_mw.upstream.steps import steps
from benchmarks.gateway.upstream import ANSWER
from benchmarks.gateway.wire import PATH, TOKEN, chat

_BATCH: Final = 200
_KEY: Final = generate(random.Random(0))
_SECRETS: Final = {"benchmark": {"token": _KEY, "one": "sk-one-0001", "two": "sk-two-0002", "three": "sk-three-03"}}
_ALLOWLIST: Final = {"type": "restrict-ips", "config": {"allow": ["127.0.0.0/8", "10.0.0.0/8"]}}
_DENY: Final = {"type": "deny"}
_AUTH: Final = {
    "type": "gateway-auth",
    "config": {"keys": [{"name": "benchmark", "value": "${secrets.get('benchmark', 'token')}"}]},
}
_CHECK: Final = (
    "!hasReqHeader('authorization') || "
    "getReqHeader('authorization')[0] != 'Bearer ' + secrets.get('benchmark', 'token')"
)
_AI_GATEWAY: Final = {
    "type": "ai-gateway",
    "config": {
        "only_allow_configured_providers": True,
        "api_key_selection": {"strategy": ["ai.keys.filter(k, k.error_rate.total < 0.2).randomize()", "ai.keys"]},
        "providers": [
            {
                "id": "openai",
                "base_url": "http://127.0.0.1:9/v1",
                "api_keys": [{"value": f"${{secrets.get('benchmark', '{name}')}}"} for name in ("one", "two", "three")],
            }
        ],
    },
}
RULES: Final[Mapping[str, Mapping[str, Any]]] = {
    "client check in CEL": {"expressions": [_CHECK], "actions": [_DENY]},
    "gateway-auth": {"actions": [_AUTH]},
    "allowlist": {"actions": [_ALLOWLIST]},
    "expression": {
        "expressions": ["req.method == 'PATCH' && req.url.path.startsWith('/v1/')"],
        "actions": [_DENY],
    },
    "expression over the body": {
        "expressions": ["req.body.model == 'another' && size(req.body.messages) > 3"],
        "actions": [_DENY],
    },
}
"""Rules that let the request pass."""


class Exchange:
    """One request on its way through the stages."""

    __slots__ = ("answer", "ctx", "scope", "taken")

    ctx: Context
    answer: ASGIApp

    def __init__(self) -> None:
        self.scope = dict(_SCOPE)
        self.taken = False

    async def receive(self) -> Message:
        if self.taken:
            await asyncio.get_running_loop().create_future()  # a client that waits for its answer
        self.taken = True
        return {"type": "http.request", "body": _BODY, "more_body": False}

    async def send(self, message: Message) -> None:
        pass


Stage = Callable[[Exchange], Awaitable[object] | None]
Stages = Mapping[str, Stage]


class Provider(HTTPTransport):
    """Answers at once."""

    async def exchange(self, origin: Origin, head: bytes, content: bytes, timeouts: Timeouts) -> Answer:
        answer = Answer(cast("Any", None))  # all has arrived, so that its connection has let go of it
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
        answer.begin(200, fields, dict(fields))
        answer.chunks.append(ANSWER)
        answer.complete = True
        return answer


def gateway(*rules: Mapping[str, Any]) -> Gateway:
    secrets = SecretStore([MemorySource(_SECRETS)])
    return Gateway.from_policy({"on_http_request": list(rules)}, secrets=secrets, transport=Provider())


def rule_stages(rule: Mapping[str, Any], name: str) -> Stages:
    """A program of one rule."""
    made = gateway(rule)

    async def run(exchange: Exchange) -> None:
        if await made.program.on_request(exchange.ctx) is not None:
            raise RuntimeError(f"the rule of `{name}` does not let the request pass")

    return {"context": _context(made), name: run}


def action_stages() -> Stages:
    """A request that has met its rules: each step works on what the one before has left."""
    made = gateway({"actions": [_AI_GATEWAY]})
    spec = made.policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0]
    own = steps(validated(AIGatewayConfig, spec, made.policy.document), Runtime(made.stores))

    def answer(exchange: Exchange) -> None:
        exchange.answer = own.passthrough(exchange.ctx)

    return {
        "context": _context(made),
        "body read": lambda exchange: exchange.ctx.read_body(),
        "admission": lambda exchange: own.admission(exchange.ctx),
        "model selection": lambda exchange: own.model_selection(exchange.ctx),
        "key selection": lambda exchange: own.key_selection(exchange.ctx),
        "attempt: key, head, record": lambda exchange: own.failover(exchange.ctx),
        "answer made": answer,
        "answer sent": lambda exchange: exchange.answer(exchange.scope, exchange.receive, exchange.send),
    }


def _context(made: Gateway) -> Stage:
    limits = made.limits

    def context(exchange: Exchange) -> None:
        route = route_of(PATH, PATH.encode())
        exchange.ctx = Context(exchange.scope, exchange.receive, route=route, limits=limits)

    return context


def whole() -> Stages:
    """From the server's call to the last message."""
    app = gateway({"expressions": [_CHECK], "actions": [_DENY]}, {"actions": [_ALLOWLIST, _AI_GATEWAY]}).app
    return {"all of it": lambda exchange: app(exchange.scope, exchange.receive, exchange.send)}


async def measured(rounds: int) -> dict[str, float]:
    """Microseconds of processor time for each stage."""
    groups = [action_stages(), *(rule_stages(rule, name) for name, rule in RULES.items()), whole()]
    least: dict[str, float] = {}
    for _ in range(rounds):
        for group in groups:
            batch = [Exchange() for _ in range(_BATCH)]
            for name, stage in group.items():
                seconds = await _seconds(stage, batch)
                least[name] = min(least.get(name, seconds), seconds)
    return {name: seconds / _BATCH * 1e6 for name, seconds in least.items()}


async def _seconds(stage: Stage, batch: Sequence[Exchange]) -> float:
    begun = time.process_time()
    for exchange in batch:
        work = stage(exchange)
        if work is not None:
            await work
    return time.process_time() - begun


def _as_received(message: bytes) -> tuple[Scope, bytes]:
    """The scope that a server makes of a request, and its body."""
    head, _, body = message.partition(b"\r\n\r\n")
    fields = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8080),
        "headers": [(name, value) for name, _, value in fields],
    }
    return scope, body


_SCOPE, _BODY = _as_received(chat().replace(TOKEN.encode(), _KEY.encode()))


def run(rounds: int) -> dict[str, float]:
    logging.disable(logging.WARNING)
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(measured(rounds))
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)


def table(result: Mapping[str, float]) -> str:
    lines = [f"{name:<32} {micros:8.1f}" for name, micros in result.items()]
    return "\n".join([f"{'stage':<32} {'CPU us':>8}", *lines])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help=f"batches of {_BATCH} requests (default 30)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args(arguments)
    print(f"{options.rounds} rounds of {_BATCH} requests", file=sys.stderr)
    result = run(options.rounds)
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
