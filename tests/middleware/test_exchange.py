from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import Field
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.compiler import compile_policy
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import GatewayError, Overloaded
from ai_gateway_mw.middleware.exchange import exchange, serve
from ai_gateway_mw.middleware.response_gate import ResponseGate
from ai_gateway_mw.policy import ActionConfig, Phase, load_policy
from ai_gateway_mw.program import Program
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.watches import Watches
from tests.asgi import Exchange, http_scope, request
from tests.gateways import Host, actions, request_log, secret_store

pytestmark = pytest.mark.anyio


class Fails:
    """An action with a fault of its own."""

    name = "fails"
    phases = frozenset(Phase)

    class Config(ActionConfig):
        text: str = Field("sk-in-the-message")
        once: bool = False

    def __init__(self, config: Config, runtime: Any) -> None:
        self.text, self.once, self.runs = config.text, config.once, 0

    async def __call__(self, ctx: Context) -> None:
        self.runs += 1
        if not self.once or self.runs == 1:
            raise ValueError(self.text)


def serving(policy: Any, app: Any) -> Any:
    stores = Stores(Settings(), secrets=secret_store())
    program, _ = compile_policy(load_policy(policy), stores, {**ACTIONS, "fails": Fails})

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await serve(program, Context(scope, receive, route=route_of(scope["path"])), send, app)

    return outer


FORMATS = [("/v1/chat/completions", "openai"), ("/v1/messages", "anthropic"), ("/v1beta/models/g:x", "gemini")]


@pytest.mark.parametrize("phase", ["on_tcp_connect", "on_http_request", "on_http_response"])
@pytest.mark.parametrize(("path", "api_format"), FORMATS)
async def test_a_fault_of_ours_is_a_500_in_the_callers_format_and_only_the_log_says_more(
    phase: str, path: str, api_format: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = request_log(caplog)
    response = await request(serving(actions("fails", phase=phase), Host()), "POST", path)
    assert response.status == 500
    body = response.json()
    assert body["error"]["message"] == "The gateway failed to handle this request."
    assert body["error"].get("code") == {"openai": "internal_error", "gemini": 500}.get(api_format)
    assert "sk-in-the-message" not in response.text
    assert response.headers["x-request-id"] in caplog.text
    assert "ValueError: sk-in-the-message" in caplog.text
    assert [(record["status"], record["refused"]) for record in log()] == [(500, "internal_error")]


async def test_an_answer_of_ours_that_fails_before_it_begins_is_a_500() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    async def work(ctx: Context) -> Any:
        return broken

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        ctx = Context(scope, receive)
        await exchange(work, ctx, ResponseGate(ctx, Program(), send), Host())

    assert (await request(app)).status == 500


@pytest.mark.parametrize("error", [ValueError("x"), Overloaded("x")])
async def test_an_answer_that_fails_after_it_began_is_cut_off(error: Exception) -> None:
    """Ending it properly would make it look complete."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise error

    async def work(ctx: Context) -> Any:
        return broken

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        ctx = Context(scope, receive)
        await exchange(work, ctx, ResponseGate(ctx, Program(), send), Host())

    async with Exchange(app) as ex:
        await ex.start()
        with pytest.raises(GatewayError):
            await ex.rest()
        assert not ex.complete


async def test_a_fault_of_the_app_stays_the_apps(caplog: pytest.LogCaptureFixture) -> None:
    log = request_log(caplog)

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        await request(serving(actions(("set-vars", {"vars": []})), broken), path="/v1/models")
    assert log()[0]["status"] == 500


async def swallowing(scope: Scope, receive: Receive, send: Send) -> None:
    """An app whose framework catches whatever `send` raises."""
    for _ in range(3):
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"1")]})
            await send({"type": "http.response.body", "body": b"secret of the app"})
        except Exception:
            continue


async def converting(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that turns every exception into one of its own."""
    try:
        await swallowing_once(scope, receive, send)
    except Exception:
        raise RuntimeError("of the app") from None


async def swallowing_once(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret of the app"})


def streaming_app() -> Starlette:
    async def pieces() -> Any:
        yield b"secret of the app"
        yield b"more of it"

    return Starlette(routes=[Route("/v1/models", lambda request: StreamingResponse(pieces()))])


REFUSING = [
    pytest.param("fails", 500, id="a fault"),
    pytest.param(("fails", {"once": True}), 500, id="a fault that comes once"),
    pytest.param(("restrict-ips", {"allow": ["10.0.0.0/8"]}), 403, id="a refusal"),
    pytest.param(("custom-response", {"status_code": 451, "body": "ours"}), 451, id="another answer"),
]


@pytest.mark.parametrize(("action", "status"), REFUSING)
@pytest.mark.parametrize(
    "app",
    [swallowing, converting, swallowing_once, streaming_app()],
    ids=["swallows", "converts", "plain", "starlette"],
)
async def test_what_a_response_rule_refused_never_passes_whatever_the_app_does(
    app: Any, action: Any, status: int
) -> None:
    async with Exchange(serving(actions(action, phase="on_http_response"), app), path="/v1/models") as ex:
        start = await ex.start()
        assert start.status == status
        assert b"secret" not in await ex.rest()
        assert "x-app" not in start.headers


async def test_response_rules_run_once() -> None:
    policy = actions(("set-vars", {"vars": [{"n": "${has(vars.n) ? vars.n + 1 : 1}"}]}),
                     ("add-headers", {"headers": {"x-n": "${vars.n}"}}), phase="on_http_response")  # fmt: skip
    assert (await request(serving(policy, streaming_app()), path="/v1/models")).headers["x-n"] == "1"


async def test_what_rules_see_of_a_request_is_not_changed_by_what_the_app_writes_into_its_scope() -> None:
    inner = Starlette(routes=[Route("/hello", lambda request: PlainTextResponse("hello"))])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["scheme"], scope["client"] = "https", ("6.6.6.6", 1)
        await Starlette(routes=[Mount("/sub", inner)])(scope, receive, send)

    seen = "${req.url.scheme} ${req.url.path} ${conn.client_ip}"
    policy = actions(("add-headers", {"headers": {"x-seen": seen}}), phase="on_http_response")
    assert (await request(serving(policy, app), path="/sub/hello")).headers["x-seen"] == "http /sub/hello 127.0.0.1"


def watched(answer: Any, receive: Any, send: Any, *, tick: float = 0) -> tuple[Context, Any]:
    """A context, and the exchange in which the answer comes from a step that watches the client."""

    async def work(ctx: Context) -> Any:
        ctx.watch_client()
        return answer

    ctx = Context(http_scope(), receive, watches=Watches(tick))
    return ctx, exchange(work, ctx, ResponseGate(ctx, Program(), send), Host())


async def test_a_client_that_leaves_with_the_last_byte_has_had_its_answer(caplog: pytest.LogCaptureFixture) -> None:
    log = request_log(caplog)
    gone = asyncio.Event()

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            gone.set()
            await asyncio.Event().wait()  # a server that is slow to return

    await watched(swallowing_once, receive, send)[1]
    assert [(record["status"], record.get("refused")) for record in log()] == [(200, None)]


async def test_a_client_that_leaves_is_noticed_while_nothing_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    log = request_log(caplog)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()  # the watch is who listens: this one has nothing to say
        raise AssertionError("two have listened")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        return

    ctx, work = watched(answer, receive, send)
    await work
    assert ctx.watch is None
    assert [(record["status"], record.get("refused")) for record in log()] == [(499, "client_gone")]


async def test_an_exchange_that_is_given_up_before_its_head_is_refused_with_the_reason() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            assert ctx.watch is not None
            ctx.watch.interrupt(Overloaded("No more time."))
            await asyncio.Event().wait()

        ctx, work = watched(answer, receive, send)
        await work

    response = await request(app)
    assert (response.status, response.json()["error"]["code"]) == (503, "overloaded")


async def test_an_exchange_that_is_given_up_after_its_head_is_cut_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            assert ctx.watch is not None
            ctx.watch.interrupt(Overloaded("No more time."))
            await asyncio.Event().wait()

        ctx, work = watched(answer, receive, send)
        await work

    async with Exchange(app) as ex:
        await ex.start()
        with pytest.raises(Overloaded):
            await ex.rest()
        assert not ex.complete


async def test_an_app_that_answers_after_a_step_gave_up_is_the_only_one_that_listens() -> None:
    listening: list[int] = []
    asked = 0
    heard = asyncio.Event()

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        listening.append(asked)
        heard.set()
        try:
            await asyncio.sleep(0)
        finally:
            asked -= 1
        return {"type": "http.request", "body": b"", "more_body": False}

    async def work(ctx: Context) -> Any:
        ctx.watch_client()
        await heard.wait()

    async def send(message: Any) -> None:
        return

    host = Host()
    ctx = Context(http_scope(), receive, watches=Watches(tick=0))
    await exchange(work, ctx, ResponseGate(ctx, Program(), send), host)
    assert (len(host.bodies), max(listening)) == (1, 1)


async def test_a_client_that_leaves_while_sending_is_logged_and_gets_no_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = request_log(caplog)
    app = serving(actions("deny", expressions=["req.body.a == 1"]), Host())
    async with Exchange(app, method="POST", path="/v1/chat/completions", body=None) as ex:
        await ex.feed(b"{")
        await ex.disconnect()
    assert ex.messages == ex.dropped == []
    assert [(record["status"], record["refused"]) for record in log()] == [(499, "client_gone")]


async def test_an_app_may_send_messages_of_extensions() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": []})
        await swallowing_once(scope, receive, send)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/v1/models", "headers": []}
    await serving(actions(("set-vars", {"vars": []}), phase="on_http_response"), app)(scope, receive, send)
    assert sent == ["http.response.early_hint", "http.response.start", "http.response.body"]
