"""What exchanges use of the limits of a stored key, through the whole app: taken before the call, and settled after it,
on whatever path they end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ai_gateway_mw import AuthMiddleware, Gateway
from ai_gateway_mw.accounts import Accounts
from ai_gateway_mw.audit import Actor
from ai_gateway_mw.errors import Overloaded
from ai_gateway_mw.keys import GatewayKey
from ai_gateway_mw.keys.store import NewKey
from ai_gateway_mw.limits import Calendar, LimitsDocument, Sliding
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.usage import Figures
from tests.asgi import Exchange, Lifespan, Response, WebSocket, request
from tests.gateways import CHAT, CHAT_PATH, Host, Pieces, actions, bearer, secret_store
from tests.upstream.scripted import Answer, Providers, hang

pytestmark = pytest.mark.anyio

ALICE = Actor("cli:alice")
Limits = Mapping[str, Any]
MANY = 10**9
DAY = Sliding(86_400)
TOKENS = {"tokens_per_day": MANY, "concurrent_requests": 5}
BUDGET = {"usd_per_day": 1000, "tokens_per_day": MANY}
ASK = {**CHAT, "max_tokens": 1000}
INPUT = 1  # what is estimated of CHAT
ANTHROPIC, GEMINI = "/v1/messages", "/v1beta/models/gemini-2.5-flash:"


def key(limits: Limits) -> NewKey:
    return NewKey(name="a", limits=LimitsDocument(**limits))


@dataclass
class Served:
    """A gateway with one key of the database."""

    gate: Gateway
    text: str
    providers: Providers

    @property
    def accounts(self) -> Accounts:
        return self.gate.stores.accounts

    @property
    def key(self) -> GatewayKey:
        key = self.accounts.known(self.text)
        assert key is not None
        return key

    def counted(self, unit: str = "tokens", window: Any = DAY) -> int:
        return self.gate.stores.counters.value(f"key:{self.key.lineage}/{unit}", window)

    @property
    def spent(self) -> int:
        return self.counted("USD", Calendar("day"))

    @property
    def idle(self) -> bool:
        """Whether nothing is open any more."""
        return not self.accounts._open and not self.gate.stores.counters.entered(f"key:{self.key.lineage}")

    async def ask(self, body: Mapping[str, Any] = ASK, path: str = CHAT_PATH, **more: Any) -> Response:
        return await request(self.gate.app, "POST", path, headers=bearer(self.text), json=body, **more)

    def exchange(self, body: Mapping[str, Any] = ASK, path: str = CHAT_PATH) -> Exchange:
        return Exchange(self.gate.app, method="POST", path=path, headers=bearer(self.text), json=body)

    async def figures(self) -> Figures:
        recorder = self.accounts._recorder
        assert recorder is not None
        assert await recorder.flush()
        (used,) = await self.accounts.services.usage.summary()
        return used.figures


def config(*keys: str, **more: Any) -> dict[str, Any]:
    providers = [
        {"id": name, "api_keys": [{"value": key} for key in keys]} for name in ("openai", "anthropic", "google")
    ]
    return {"providers": providers, **more}


@asynccontextmanager
async def served(
    folder: Path, *answers: Answer, limits: Limits = TOKENS, policy: Any = None, **settings: Any
) -> AsyncIterator[Served]:
    """Every provider gives these answers, one after the other."""
    providers = Providers()
    if answers:
        providers.on("sk-1", *answers)
    async with await Services.open(Settings(data_dir=folder)) as services:
        text = (await services.keys.create(key(limits), ALICE)).text
    policy = policy or actions("gateway-auth", ("ai-gateway", config("sk-1")))
    gate = Gateway.from_policy(
        policy, secrets=secret_store(), transport=providers.transport, data_dir=folder, **settings
    )
    async with gate.lifespan():
        await gate.stores.accounts.find(text)
        yield Served(gate, text, providers)


def said(usage: Any, **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"id": "1", "choices": [], **more, "usage": usage})


def streamed(*events: Any, done: bool = True) -> httpx.Response:
    pieces = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events] + [b"data: [DONE]\n\n"] * done
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(*pieces))


def word(text: str = "word") -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


async def until_idle(s: Served) -> None:
    async with asyncio.timeout(20):
        while not s.idle:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


# ── What an answer says


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        pytest.param({"prompt_tokens": 10, "completion_tokens": 20}, 30, id="all"),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, 0, id="nothing used"),
        pytest.param(None, INPUT + 1000, id="nothing said"),
        pytest.param({}, INPUT + 1000, id="empty"),
        pytest.param({"type": "duration", "seconds": 9}, INPUT + 1000, id="seconds"),
        pytest.param({"prompt_tokens": -5, "completion_tokens": 20}, INPUT + 20, id="negative input"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": -1}, 10 + 1000, id="negative output"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": 20.0}, 10 + 1000, id="float"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": True}, 10 + 1000, id="bool"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": "20"}, 10 + 1000, id="text"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": None}, 10 + 1000, id="null"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": 10**18}, 10 + 1000, id="huge"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": 10**12}, 10 + 1000, id="more than there can be"),
    ],
)
async def test_what_an_answer_does_not_say_stays_as_it_was_reserved(tmp_path: Path, usage: Any, counted: int) -> None:
    async with served(tmp_path, said(usage)) as s:
        assert (await s.ask()).status == 200
        assert (s.counted(), s.idle) == (counted, True)
        assert (await s.figures()).tokens == counted


@pytest.mark.parametrize(
    ("answers", "counted"),
    [
        pytest.param([429, said({"prompt_tokens": 1, "completion_tokens": 2})], 3, id="one that is not billed"),
        pytest.param([500, said({"prompt_tokens": 1, "completion_tokens": 2})], 3 + 1001, id="one that may be billed"),
        pytest.param([401, 401], 0, id="none that is billed"),
        pytest.param([500, 500], 2 * 1001, id="only such as may be billed"),
        pytest.param([httpx.ConnectError("x"), httpx.ConnectError("x")], 0, id="nobody there"),
        pytest.param([400], 0, id="the client's fault"),
    ],
)
async def test_every_attempt_that_may_be_billed_is_counted(
    tmp_path: Path, answers: Sequence[Answer], counted: int
) -> None:
    policy = actions("gateway-auth", ("ai-gateway", config("sk-1", "sk-2")))
    async with served(tmp_path, answers[0], policy=policy) as s:
        s.providers.on("sk-2", answers[-1])
        await s.ask()
        assert (s.counted(), s.idle) == (counted, True)


async def test_what_goes_into_a_cache_costs_what_the_provider_lists(tmp_path: Path) -> None:
    usage = {"input_tokens": 100, "cache_creation_input_tokens": 1000, "output_tokens": 0}
    async with served(tmp_path, said(usage), limits=BUDGET) as s:
        ask = {"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": CHAT["messages"]}
        assert (await s.ask(ask, ANTHROPIC)).status == 200
        assert s.spent == 100 * 3_000 + 1000 * 3_750
        assert (await s.figures()).cost_nano == s.spent


async def test_a_call_of_which_nothing_is_known_costs_in_the_usage_what_it_costs_the_budget(tmp_path: Path) -> None:
    """Where the counters are lost, the usage is what is left of the budget."""
    async with served(tmp_path, said(None), limits=BUDGET) as s:
        assert (await s.ask()).status == 200
        assert s.spent > 0
        assert (await s.figures()).cost_nano == s.spent


# ── Streams


@pytest.mark.parametrize("extra", [{}, {"stream_options": {"include_usage": True}}])
async def test_a_stream_that_does_not_say_is_counted_by_its_events(tmp_path: Path, extra: Any) -> None:
    async with served(tmp_path, streamed(*[word()] * 50)) as s:
        assert (await s.ask({**ASK, "stream": True, **extra})).status == 200
        assert 50 <= s.counted() <= 60
        assert s.idle


@pytest.mark.parametrize("size", [1, 3, 64, 100_000])
async def test_how_a_stream_is_cut_on_its_way_says_nothing_of_its_use(tmp_path: Path, size: int) -> None:
    events = b"".join(b"data: " + json.dumps(word()).encode() + b"\n\n" for _ in range(50)) + b"data: [DONE]\n\n"
    pieces = Pieces(*(events[at : at + size] for at in range(0, len(events), size)))
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=pieces)
    async with served(tmp_path, answer) as s:
        assert (await s.ask({**ASK, "stream": True})).status == 200
        assert s.counted() == INPUT + 51


async def test_a_stream_that_says_it_is_counted_by_that(tmp_path: Path) -> None:
    last = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 8}}
    async with served(tmp_path, streamed(word(), last)) as s:
        await s.ask({**ASK, "stream": True})
        assert s.counted() == 15


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 800}}


@pytest.mark.parametrize(
    ("given", "sent", "shown"),
    [
        pytest.param({}, {"include_usage": True}, False, id="a client that does not ask"),
        pytest.param({"stream_options": None}, {"include_usage": True}, False, id="null"),
        pytest.param(
            {"stream_options": {"include_usage": False, "x": 1}},
            {"include_usage": True, "x": 1},
            False,
            id="one that wants none",
        ),
        pytest.param(
            {"stream_options": {"include_usage": True}}, {"include_usage": True}, True, id="one that asks for itself"
        ),
    ],
)
async def test_a_stream_is_asked_for_its_usage_and_a_client_sees_what_it_asked_for(
    tmp_path: Path, given: Any, sent: Any, shown: bool
) -> None:
    async with served(tmp_path, streamed(word(), USAGE)) as s:
        answer = await s.ask({**ASK, "stream": True, **given})
        assert s.providers.bodies[0]["stream_options"] == sent
        assert (b'"usage"' in answer.body) is shown
        assert answer.body.startswith(b"data: " + json.dumps(word()).encode() + b"\n\n")
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert s.counted() == 807


async def test_what_the_policy_itself_asks_for_is_shown(tmp_path: Path) -> None:
    asks = ("ai-gateway", config("sk-1", body={"stream_options": {"include_usage": True}}))
    async with served(tmp_path, streamed(word(), USAGE), policy=actions("gateway-auth", asks)) as s:
        answer = await s.ask({**ASK, "stream": True})
        assert b'"usage"' in answer.body
        assert s.counted() == 807


async def test_a_key_without_limits_of_use_has_its_bytes_passed_on(tmp_path: Path) -> None:
    async with served(tmp_path, streamed(word(), USAGE), limits={}) as s:
        answer = await s.ask({**ASK, "stream": True})
        assert "stream_options" not in s.providers.bodies[0]
        assert b'"usage"' in answer.body


async def test_what_is_no_stream_is_not_asked(tmp_path: Path) -> None:
    async with served(tmp_path, said({"prompt_tokens": 1, "completion_tokens": 2})) as s:
        await s.ask(ASK)
        assert "stream_options" not in s.providers.bodies[0]


async def test_a_stream_that_is_cut_is_counted_by_what_came(tmp_path: Path) -> None:
    async with served(tmp_path, streamed(*[word()] * 20, done=False)) as s:
        await s.ask({**ASK, "stream": True})
        assert 20 <= s.counted() <= 25
        assert s.idle


@pytest.mark.parametrize(
    ("answer", "errors"),
    [
        pytest.param(lambda: streamed(word()), 0, id="whole"),
        pytest.param(lambda: streamed(word(), done=False), 1, id="cut"),
        pytest.param(lambda: streamed(word(), {"error": {"message": "x", "type": "server_error"}}), 1, id="error"),
    ],
)
async def test_a_stream_that_ends_with_an_error_is_one(
    tmp_path: Path, answer: Callable[[], httpx.Response], errors: int
) -> None:
    async with served(tmp_path, answer()) as s:
        assert (await s.ask({**ASK, "stream": True})).status == 200
        figures = await s.figures()
        assert (figures.requests, figures.errors) == (1, errors)


# ── Clients that leave


async def test_a_client_that_leaves_before_the_answer_has_used_what_was_reserved(tmp_path: Path) -> None:
    async with served(tmp_path, hang) as s:
        async with s.exchange() as ex:
            while not s.counted():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await ex.disconnect()
        await until_idle(s)
        assert s.counted() == INPUT + 1000


async def test_a_client_that_leaves_while_it_sends_its_body_has_used_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as s:
        fields = bearer(s.text) | {"content-length": "100", "content-type": "application/json"}
        async with Exchange(s.gate.app, method="POST", path=CHAT_PATH, headers=fields, body=None) as ex:
            await ex.feed(b"{")
            while s.idle:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await ex.disconnect()
        await until_idle(s)
        assert s.counted() == 0


@pytest.mark.parametrize("phase", ["on_http_request", "on_http_response"])
async def test_what_a_rule_refuses_gives_its_place_back(tmp_path: Path, phase: str) -> None:
    policy = actions("gateway-auth", "deny")
    if phase == "on_http_response":
        policy = actions("gateway-auth", ("ai-gateway", config("sk-1")))
        policy |= actions(("custom-response", {"status_code": 403}), phase=phase)
    async with served(tmp_path, policy=policy) as s:
        assert (await s.ask()).status == 403
        assert s.idle
        assert s.counted() == (0 if phase == "on_http_request" else INPUT + 1000)


@pytest.mark.parametrize("limit", [0, 5])
async def test_what_the_limit_refuses_is_given_back(tmp_path: Path, limit: int) -> None:
    limits = {"tokens_per_day": limit, "requests_per_minute": 9, "concurrent_requests": 1}
    async with served(tmp_path, limits=limits) as s:
        for _ in range(3):
            answer = await s.ask()
            assert (answer.status, answer.headers["x-should-retry"]) == (429, "false")
        assert (s.counted(), s.idle) == (0, True)


async def test_a_second_ai_gateway_takes_over_the_exchange(tmp_path: Path) -> None:
    first = {**config("sk-bad"), "on_error": "continue"}
    policy = actions("gateway-auth", ("ai-gateway", first), ("ai-gateway", config("sk-1")))
    async with served(tmp_path, said({"prompt_tokens": 3, "completion_tokens": 4}), policy=policy) as s:
        s.providers.on("sk-bad", 401)
        assert (await s.ask()).status == 200
        assert (s.counted(), s.idle) == (7, True)


async def test_places_are_given_back_on_many_at_once(tmp_path: Path) -> None:
    async with served(tmp_path, limits={"concurrent_requests": 2, "requests_per_minute": 20}) as s:
        answers = await asyncio.gather(*(s.ask() for _ in range(30)))
        assert {answer.status for answer in answers} <= {200, 429}
        assert s.idle
        assert s.counted("requests", Sliding(60)) <= 20


async def test_an_exchange_that_its_server_cancels_gives_its_place_back(tmp_path: Path) -> None:
    async with served(tmp_path, hang) as s:
        async with s.exchange():
            while not s.counted():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await until_idle(s)  # the harness has cancelled it
        assert s.counted() == INPUT + 1000


async def test_an_exchange_that_the_gateway_gives_up_gives_its_place_back(tmp_path: Path) -> None:
    async with served(tmp_path, hang) as s, s.exchange() as ex:
        while not s.counted():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        s.gate.interrupt(Overloaded("The gateway stops."))
        assert (await ex.start()).status == 503
        await ex.rest()
        await until_idle(s)
        assert s.counted() == INPUT + 1000


async def test_our_own_failure_gives_the_place_back(tmp_path: Path) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise RuntimeError("ours")

    async with served(tmp_path, broken) as s:
        assert (await s.ask()).status == 500
        assert s.idle


async def test_a_timeout_counts_what_was_reserved(tmp_path: Path) -> None:
    policy = actions("gateway-auth", ("ai-gateway", config("sk-1", per_request_timeout="1s", total_timeout="1s")))
    async with served(tmp_path, httpx.ReadTimeout("x"), policy=policy) as s:
        assert (await s.ask()).status == 504
        assert (s.counted(), s.idle) == (INPUT + 1000, True)


async def test_a_rotated_key_goes_on_with_what_was_used(tmp_path: Path) -> None:
    async with served(tmp_path, said(None), limits={"tokens_per_day": 1500}) as s:
        assert (await s.ask()).status == 200
        successor = (await s.accounts.services.keys.rotate("a", ALICE)).text
        answer = await request(s.gate.app, "POST", CHAT_PATH, headers=bearer(successor), json=ASK)
        assert answer.status == 429


async def test_many_at_once_do_not_pass_a_budget(tmp_path: Path) -> None:
    async with served(tmp_path, said(None), limits={"tokens_per_day": 5 * (INPUT + 1000)}) as s:
        answers = await asyncio.gather(*(s.ask() for _ in range(30)))
        assert [answer.status for answer in answers].count(200) == 5


# ── WebSockets through single layers


async def test_a_websocket_gives_its_place_back(tmp_path: Path) -> None:
    async with await Services.open(Settings(data_dir=tmp_path)) as services:
        text = (await services.keys.create(key({"concurrent_requests": 1}), ALICE)).text
    app = AuthMiddleware(Host(), stores=Stores(Settings(data_dir=tmp_path), secrets=secret_store()))
    async with Lifespan(app):
        for _ in range(3):
            async with WebSocket(app, "/ws", headers=bearer(text)) as ws:
                assert (await ws.message())["type"] == "websocket.accept"
        assert not app.stores.accounts._open


# ── What is asked for


RESPONSES, COMPLETIONS = "/v1/responses", "/v1/completions"


@pytest.mark.parametrize(
    ("path", "body", "counted"),
    [
        pytest.param(CHAT_PATH, {"max_tokens": 10, "max_completion_tokens": 500}, 500, id="both spellings"),
        pytest.param(CHAT_PATH, {"max_output_tokens": 1}, 16_384, id="a name of another surface, chat"),
        pytest.param(RESPONSES, {"max_tokens": 1, "input": "hi"}, 16_384, id="a name of another surface, responses"),
        pytest.param(RESPONSES, {"max_output_tokens": 9, "input": "hi"}, 9, id="responses"),
        pytest.param(CHAT_PATH, {"max_tokens": 1, "max_completion_tokens": 900.0}, 900, id="float"),
        pytest.param(CHAT_PATH, {"max_tokens": 1, "max_completion_tokens": "900"}, 900, id="text"),
        pytest.param(CHAT_PATH, {"max_tokens": 1, "max_completion_tokens": -1}, 16_384, id="no limit, by one of them"),
        pytest.param(CHAT_PATH, {"max_tokens": 0}, 16_384, id="no limit"),
        pytest.param(CHAT_PATH, {"max_tokens": None}, 16_384, id="null"),
        pytest.param(CHAT_PATH, {}, 16_384, id="nothing"),
        pytest.param(CHAT_PATH, {"max_completion_tokens": 7}, 7, id="one spelling"),
        pytest.param(CHAT_PATH, {"n": 2}, 2 * 16_384, id="choices alone"),
        pytest.param(COMPLETIONS, {"prompt": ["a", "b"]}, 2 * 16_384, id="prompts alone"),
        pytest.param(COMPLETIONS, {"prompt": "a", "best_of": 2}, 2 * 16_384, id="best of some, alone"),
        pytest.param(CHAT_PATH, {"max_tokens": 10, "n": 3}, 30, id="choices"),
        pytest.param(CHAT_PATH, {"max_tokens": 10, "n": "3"}, 30, id="choices as text"),
        pytest.param(CHAT_PATH, {"max_tokens": 10, "n": 3.0}, 30, id="choices as float"),
        pytest.param(COMPLETIONS, {"max_tokens": 10, "prompt": ["a", "b", "c"]}, 30, id="prompts"),
        pytest.param(COMPLETIONS, {"max_tokens": 10, "prompt": [[1], [2]], "best_of": 2}, 40, id="prompts of tokens"),
        pytest.param(COMPLETIONS, {"max_tokens": 10, "prompt": [1, 2, 3]}, 10, id="one prompt of tokens"),
        pytest.param("/v1/embeddings", {"input": "hi", "max_tokens": 7}, 0, id="embeddings"),
    ],
)
async def test_the_output_is_reserved_that_the_request_may_bring(
    tmp_path: Path, path: str, body: dict[str, Any], counted: int
) -> None:
    asked = {"model": "openai:gpt-4o", **({"messages": CHAT["messages"]} if path == CHAT_PATH else {}), **body}
    limits = {"output_tokens_per_day": MANY}
    async with served(tmp_path, said(None), limits=limits) as s:
        assert (await s.ask(asked, path)).status == 200
        assert s.counted("output tokens") == counted


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{ANTHROPIC}/count_tokens", {"model": "claude-sonnet-4-5", "messages": CHAT["messages"]}),
        (f"{GEMINI}countTokens", {"contents": [{"parts": [{"text": "hi"}]}]}),
    ],
)
async def test_counting_tokens_uses_none(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    async with served(tmp_path, httpx.Response(200, json={"input_tokens": 14}), limits=BUDGET) as s:
        assert (await s.ask(body, path)).status == 200
        assert (s.counted(), s.spent) == (0, 0)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/batches",
        "/v1/messages/batches",
        f"{GEMINI}batchGenerateContent",
        f"{GEMINI}asyncBatchEmbedContent",
        f"{GEMINI}predictLongRunning",
        "/v1/responses/compact",
    ],
)
async def test_what_cannot_be_counted_is_not_for_a_key_with_limits(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as s:
        answer = await s.ask({"model": "gpt-4o", "batch": {}}, path)
        assert (answer.status, "has limits" in answer.text) == (403, True)


@pytest.mark.parametrize(("background", "status"), [(True, 403), (False, 200), (None, 200)])
async def test_a_response_in_the_background_is_not_either(tmp_path: Path, background: bool | None, status: int) -> None:
    asked = {"model": "gpt-4o", "input": "hi", "max_output_tokens": 50, "background": background}
    async with served(tmp_path) as s:
        assert (await s.ask(asked, "/v1/responses")).status == status
        assert len(s.providers.bodies) == (status == 200)


@pytest.mark.parametrize("path", ["/v1/responses/resp_1/cancel", "/v1/batches/batch_1/cancel", "/v1/files"])
async def test_what_generates_nothing_is(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as s:
        assert (await s.ask({}, path)).status == 200


async def test_embeddings_of_gemini_in_one_call_are_estimated(tmp_path: Path) -> None:
    requests = [{"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "word " * 100}]}}] * 10
    path = "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    async with served(tmp_path, httpx.Response(200, json={"embeddings": []})) as s:
        assert (await s.ask({"requests": requests}, path)).status == 200
        assert s.counted() >= 1000


# ── What is told


async def test_the_fields_are_ours_and_not_the_providers_beside_them(tmp_path: Path) -> None:
    theirs = {
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-limit-project-tokens": "2",
        "anthropic-ratelimit-requests-remaining": "3",
        "ratelimit-policy": "4",
    }
    limits = {"requests_per_minute": 100, "tokens_per_day": 10_000}
    async with served(tmp_path, httpx.Response(200, json={"id": "1"}, headers=theirs), limits=limits) as s:
        answer = await s.ask()
    told = {name: value for name, value in answer.headers.items() if "ratelimit" in name}
    assert (
        told
        == {
            "x-ratelimit-limit-requests": "10",
            "x-ratelimit-remaining-requests": "9",
            "x-ratelimit-reset-requests": told["x-ratelimit-reset-requests"],
            "x-ratelimit-limit-tokens": "10000",
            "x-ratelimit-remaining-tokens": str(10_000 - INPUT - 1000),
            "x-ratelimit-reset-tokens": told["x-ratelimit-reset-tokens"],
            "ratelimit-limit": "10",
            "ratelimit-remaining": "9",
            "ratelimit-reset": told["ratelimit-reset"],
        }
        or told["ratelimit-limit"] == "10000"
    )


@pytest.mark.parametrize(("path", "kind"), [(CHAT_PATH, "insufficient_quota"), (ANTHROPIC, "billing_error")])
async def test_a_budget_that_is_spent_is_told_in_the_callers_format(tmp_path: Path, path: str, kind: str) -> None:
    model = "gpt-4o" if path == CHAT_PATH else "claude-sonnet-4-5"
    async with served(tmp_path, limits={"usd_per_day": 0.000001}) as s:
        answer = await s.ask({**ASK, "model": model}, path)
    assert (answer.status, answer.json()["error"]["type"], answer.headers["x-should-retry"]) == (402, kind, "false")


# ── Budgets over restarts


def lose_counters(folder: Path) -> None:
    for file in folder.glob("counters*"):
        file.unlink()


async def test_a_budget_holds_where_the_counters_are_lost(tmp_path: Path) -> None:
    async with served(tmp_path, said(None), limits=BUDGET) as s:
        await s.ask()
        spent, text = s.spent, s.text
    lose_counters(tmp_path)
    gate = Gateway.from_policy(actions("gateway-auth"), data_dir=tmp_path, secrets=secret_store())
    async with gate.lifespan():
        await gate.stores.accounts.find(text)
        assert Served(gate, text, Providers()).spent == spent > 0


async def test_a_budget_holds_where_the_counters_could_not_be_opened_at_first(tmp_path: Path) -> None:
    async with served(tmp_path, said(None), limits=BUDGET) as s:
        await s.ask()
        spent, text = s.spent, s.text
    lose_counters(tmp_path)
    (tmp_path / "counters").mkdir()
    policy = actions("gateway-auth", ("ai-gateway", config("sk-1")))
    gate = Gateway.from_policy(policy, data_dir=tmp_path, secrets=secret_store(), transport=Providers().transport)
    async with gate.lifespan():
        await gate.stores.accounts.find(text)
        s = Served(gate, text, Providers())
        assert (await s.ask()).json()["error"]["code"] == "limits_unavailable"
        (tmp_path / "counters").rmdir()
        assert (await s.ask()).status == 200
        assert s.spent > spent


# ── Secrets


def all_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


async def test_a_key_that_a_client_puts_elsewhere_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with served(tmp_path, audit_requests="strict") as s:
        headers = bearer(s.text) | {"user-agent": f"curl {s.text}"}
        body = {**ASK, "model": f"openai:{s.text}"}
        await request(s.gate.app, "POST", CHAT_PATH, headers=headers, json=body)
        await s.figures()
        middle = s.text[10:-4].encode()
    assert middle not in all_of(tmp_path)
    assert middle.decode() not in caplog.text


async def test_who_is_wrong_from_many_addresses_of_one_network_is_one(tmp_path: Path) -> None:
    async with served(tmp_path) as s:
        answers = [
            await request(s.gate.app, "POST", CHAT_PATH, headers=bearer("x"), json=CHAT, client=(f"2001:db8::{n:x}", 1))
            for n in range(25)
        ]
    assert [answer.status for answer in answers].count(429) == 5
