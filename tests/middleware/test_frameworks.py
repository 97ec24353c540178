"""The gateway in apps of every framework that it is meant for: the same answers on AI paths, and an app left alone."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path as django_path
from fastapi import FastAPI, Request
from litestar import Litestar, get, post
from litestar.types import ASGIApp as LitestarApp
from quart import Quart
from quart import request as quart_request
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from ai_gateway_mw import GatewayMiddleware
from tests.asgi import Lifespan, request
from tests.gateways import CHAT, CHAT_PATH, KEY, Pieces, Provider, actions, bearer, gateway

# Django forgets to close the file of a body when `send` raises.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")]


@pytest.fixture(autouse=True, scope="module")
def _swept() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# An app with `GET /hello`, and `POST /v1/embeddings` of its own, which echoes the body with the fields that it got.


def starlette_app() -> Any:
    async def hello(request: StarletteRequest) -> Response:
        return PlainTextResponse("hello")

    async def echo(request: StarletteRequest) -> Response:
        return PlainTextResponse(f"{request.headers.get('authorization')} {(await request.body()).decode()}")

    return Starlette(routes=[Route("/hello", hello), Route("/v1/embeddings", echo, methods=["POST"])])


def fastapi_app() -> Any:
    app = FastAPI()

    @app.get("/hello")
    async def hello() -> Response:
        return PlainTextResponse("hello")

    @app.post("/v1/embeddings")
    async def echo(request: Request) -> Response:
        return PlainTextResponse(f"{request.headers.get('authorization')} {(await request.body()).decode()}")

    return app


def litestar_app() -> Any:
    @get("/hello", media_type="text/plain")
    async def hello() -> str:
        return "hello"

    @post("/v1/embeddings", media_type="text/plain", status_code=200)
    async def echo(request: Any) -> str:
        return f"{request.headers.get('authorization')} {(await request.body()).decode()}"

    echo.fn.__annotations__["request"] = __import__("litestar").Request
    return Litestar([hello, echo], openapi_config=None, logging_config=None)


def quart_app() -> Any:
    app = Quart("tests", root_path=str(Path(__file__).parent))

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    @app.post("/v1/embeddings")
    async def echo() -> str:
        return f"{quart_request.headers.get('authorization')} {(await quart_request.get_data()).decode()}"

    return app


async def django_hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


async def django_echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.headers.get('authorization')} {request.body.decode()}")


urlpatterns = [django_path("hello", django_hello), django_path("v1/embeddings", django_echo)]


def django_app() -> Any:
    if not django_settings.configured:
        django_settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="tests", USE_TZ=True)
        django.setup()
    return lowering(get_asgi_application())


def lowering(app: Any) -> Any:
    """Servers write the names of fields in lower case; Django leaves that to them."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        async def lowered(message: Message) -> None:
            if "headers" in message:
                message["headers"] = [(name.lower(), value) for name, value in message["headers"]]
            await send(message)

        await app(scope, receive, lowered)

    return outer


FRAMEWORKS = [
    pytest.param(starlette_app, id="starlette"),
    pytest.param(fastapi_app, id="fastapi"),
    pytest.param(litestar_app, id="litestar"),
    pytest.param(quart_app, id="quart"),
    pytest.param(django_app, id="django"),
]
KEYS = {"providers": [{"id": "openai", "api_keys": [{"value": "sk-operator"}]}]}
TEAM = ("gateway-auth", {"keys": [{"name": "team", "value": KEY}]})


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_around_an_app_of_any_framework(framework: Callable[[], Any]) -> None:
    provider = Provider(body={"ok": True})
    gate = gateway(actions(TEAM, ("ai-gateway", KEYS)), provider=provider)
    app = GatewayMiddleware(framework(), gateway=gate)
    async with Lifespan(app):
        assert gate.is_open
        assert (await request(app, path="/hello")).text == "hello"
        assert (await request(app, path="/nothing")).status == 404
        assert (await request(app, "POST", CHAT_PATH, json=CHAT)).status == 401
        response = await request(app, "POST", CHAT_PATH, headers=bearer(KEY), json=CHAT)
        assert (response.status, response.json()) == (200, {"ok": True})
    assert not gate.is_open


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_as_a_guard_of_a_path_that_the_app_serves_itself(framework: Callable[[], Any]) -> None:
    policy = actions(TEAM, ("set-vars", {"vars": [{"model": "${req.body.model}"}]})) | actions(
        ("add-headers", {"headers": {"x-model": "${vars.model}"}}), phase="on_http_response"
    )
    app = GatewayMiddleware(framework(), gateway=gateway(policy))
    async with Lifespan(app):
        assert (await request(app, "POST", "/v1/embeddings", json={"model": "m"})).status == 401
        response = await request(app, "POST", "/v1/embeddings", headers=bearer(KEY), json={"model": "m"})
        assert (response.status, response.text) == (200, 'None {"model": "m"}')
        assert response.headers["x-model"] == "m"


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    "path",
    ["/v1/embeddings/", "/v1//embeddings", "//v1/embeddings", "/v1/Embeddings", "/v1/./embeddings", "/v1%2fembeddings"]
    + ["/x/../v1/embeddings", "/v1/embeddings%2f", "/v1/embeddings;x", "/v1/embeddings%00", "/v1/embeddings%20"],
)  # fmt: skip
async def test_no_spelling_of_a_guarded_path_gets_past(framework: Callable[[], Any], path: str) -> None:
    app = GatewayMiddleware(framework(), gateway=gateway(actions(TEAM)))
    async with Lifespan(app):
        response = await request(app, "POST", path, json={"model": "m"})
        assert response.status in (400, 401)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("action", "status"),
    [
        (("custom-response", {"status_code": 451, "body": "ours"}), 451),
        (("restrict-ips", {"allow": ["10.0.0.0/8"]}), 403),
        (("add-headers", {"headers": {"x": "${vars.nope}"}}), 403),
    ],
)
async def test_response_rules_have_the_last_word(framework: Callable[[], Any], action: Any, status: int) -> None:
    app = GatewayMiddleware(framework(), gateway=gateway(actions(action, phase="on_http_response")), intercept="all")
    async with Lifespan(app):
        response = await request(app, path="/hello")
        assert response.status == status
        assert "hello" not in response.text


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_every_path_of_the_app_can_be_put_under_the_policy(framework: Callable[[], Any]) -> None:
    app = GatewayMiddleware(framework(), gateway=gateway(actions(TEAM)), intercept="all")
    async with Lifespan(app):
        assert (await request(app, path="/hello")).status == 401
        assert (await request(app, path="/hello", headers=bearer(KEY))).text == "hello"


# How each framework takes it in


def streaming() -> tuple[Any, Pieces]:
    stream = Pieces(b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n")
    provider = Provider(stream=stream, headers=[("content-type", "text/event-stream")])
    return gateway(actions(TEAM, ("ai-gateway", KEYS)), provider=provider), stream


async def asked(app: Any, path: str) -> str:
    async with Lifespan(app):
        response = await request(app, "POST", path, headers=bearer(KEY), json=CHAT | {"stream": True})
        assert response.status == 200, response.text
        return response.text


async def test_in_starlette_as_middleware_and_mounted() -> None:
    for make in (Starlette, FastAPI):
        gate, _ = streaming()
        app = make()
        app.add_middleware(GatewayMiddleware, gateway=gate)  # type: ignore[arg-type]
        assert "[DONE]" in await asked(app, CHAT_PATH)
        gate, _ = streaming()
        app = make(lifespan=gate.lifespan)
        app.mount("/ai", gate.app)
        assert "[DONE]" in await asked(app, "/ai/v1/chat/completions")


async def test_in_mounts_within_mounts() -> None:
    gate, _ = streaming()
    inner = Starlette(routes=[Mount("/b", gate.app)])
    app = Starlette(routes=[Mount("/a", inner)], lifespan=gate.lifespan)
    assert "[DONE]" in await asked(app, "/a/b/v1/chat/completions")


async def test_in_a_mounted_app_as_its_middleware() -> None:
    gate, _ = streaming()
    inner = FastAPI()
    inner.add_middleware(GatewayMiddleware, gateway=gate)  # type: ignore[arg-type]
    app = FastAPI(lifespan=gate.lifespan)
    app.mount("/sub", inner)
    assert "[DONE]" in await asked(app, "/sub/v1/chat/completions")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/completions"])
async def test_behind_a_proxy_that_takes_a_prefix_away_or_leaves_it(path: str) -> None:
    gate, _ = streaming()
    app = FastAPI()
    app.add_middleware(GatewayMiddleware, gateway=gate)  # type: ignore[arg-type]

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/api"}, receive, send)

    assert "[DONE]" in await asked(server, path)


async def test_in_litestar_as_middleware_and_mounted() -> None:
    from litestar import asgi

    gate, _ = streaming()

    def layer(app: LitestarApp) -> LitestarApp:
        return GatewayMiddleware(app, gateway=gate)  # type: ignore[arg-type,return-value]

    @post("/v1/chat/completions")
    async def never() -> None:
        raise AssertionError

    assert "[DONE]" in await asked(
        Litestar([never], middleware=[layer], openapi_config=None, logging_config=None), CHAT_PATH
    )
    gate, _ = streaming()
    mounted = asgi("/ai", is_mount=True, copy_scope=True)(gate.app)
    assert "[DONE]" in await asked(
        Litestar([mounted], openapi_config=None, logging_config=None), "/ai/v1/chat/completions"
    )


async def test_in_quart_around_its_asgi_app() -> None:
    gate, _ = streaming()
    app = quart_app()
    app.asgi_app = GatewayMiddleware(app.asgi_app, gateway=gate)
    assert "[DONE]" in await asked(app, CHAT_PATH)


async def test_in_django_around_its_asgi_app() -> None:
    gate, _ = streaming()
    assert "[DONE]" in await asked(GatewayMiddleware(django_app(), gateway=gate), CHAT_PATH)


async def test_django_takes_a_method_in_lower_case_and_the_policy_does_too() -> None:
    policy = actions("deny", expressions=["req.method == 'POST'"])
    app = GatewayMiddleware(django_app(), gateway=gateway(policy))
    assert (await request(app, "post", "/v1/embeddings", json={})).status == 403


async def test_a_stream_of_the_app_passes_piece_by_piece() -> None:
    async def pieces() -> Any:
        yield b"one"
        yield b"two"

    inner = Starlette(routes=[Route("/v1/embeddings", lambda request: StreamingResponse(pieces()), methods=["POST"])])
    app = GatewayMiddleware(inner, gateway=gateway(actions(TEAM)))
    assert (await request(app, "POST", "/v1/embeddings", headers=bearer(KEY), json={})).body == b"onetwo"
