from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from ai_gateway_mw.asgi import cancelled_by, raw_route_path, read_body, replaying, route_path, run_lifespan
from ai_gateway_mw.errors import BodyTooLarge, ClientGone
from tests.asgi import Lifespan

pytestmark = pytest.mark.anyio

GONE: Message = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def receiving(messages: Iterable[Message]) -> Receive:
    left = iter(messages)

    async def receive() -> Message:
        return next(left)

    return receive


@pytest.mark.parametrize(
    ("path", "root_path", "below"),
    [
        ("/v1/models", "", "/v1/models"),
        ("/ai/v1/models", "/ai", "/v1/models"),
        ("/ai/v1/models", "/ai/", "/v1/models"),
        ("/a/b/v1/models", "/a/b", "/v1/models"),
        ("/v1/models", "/ai", "/v1/models"),  # a proxy has taken the prefix away
        ("/aiv1/models", "/ai", "/aiv1/models"),
        ("/ai", "/ai", "/ai"),
    ],
)
def test_a_path_is_read_below_its_mount(path: str, root_path: str, below: str) -> None:
    scope = {"path": path, "root_path": root_path, "raw_path": path.encode()}
    assert route_path(scope) == below
    assert raw_route_path(scope) == below.encode()


@pytest.mark.parametrize(
    ("path", "raw_path", "below"),
    [
        ("/v1/models/", b"/ai/v1/models", "/v1/models"),
        ("/v1/models/", b"/ai/v1/models/", "/v1/models/"),
        ("/v1/models/", None, "/v1/models/"),
        ("/", b"/ai", "/"),
    ],
)
def test_a_slash_that_a_framework_has_added_is_dropped(path: str, raw_path: bytes | None, below: str) -> None:
    assert route_path({"path": path, "raw_path": raw_path}) == below


def test_a_server_need_not_tell_root_and_raw_path() -> None:
    assert route_path({"path": "/v1"}) == "/v1"
    assert raw_route_path({"path": "/v1"}) is None
    assert raw_route_path({"path": "/v1", "raw_path": None}) is None


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([piece(b"abc", more=False)], b"abc"),
        ([piece(b"a"), piece(b""), piece(b"bc", more=False)], b"abc"),
        ([{"type": "http.request"}], b""),
        ([piece(b"abcd", more=False)], b"abcd"),
    ],
)
async def test_a_body_is_read_in_pieces_up_to_the_limit(messages: list[Message], body: bytes) -> None:
    assert await read_body(receiving(messages), 4) == body


async def test_a_body_beyond_the_limit_is_not_read_to_its_end() -> None:
    receive = receiving([piece(b"abc"), piece(b"de"), piece(b"never read", more=False)])
    with pytest.raises(BodyTooLarge):
        await read_body(receive, 4)
    assert (await receive())["body"] == b"never read"


async def test_a_client_that_leaves_while_sending_is_noticed() -> None:
    with pytest.raises(ClientGone):
        await read_body(receiving([piece(b"a"), GONE]), 4)


async def test_a_body_that_was_read_is_handed_out_again_once() -> None:
    receive = replaying(b"abc", receiving([GONE]))
    assert await receive() == piece(b"abc", more=False)
    assert await receive() == GONE


async def test_work_goes_on_undisturbed_while_the_client_stays() -> None:
    never = asyncio.Event()

    async def receive() -> Message:
        await never.wait()
        return GONE

    before = asyncio.all_tasks()
    async with cancelled_by(receive):
        done = await asyncio.sleep(0, "done")
    assert done == "done"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before  # the watcher is gone


async def test_work_is_given_up_when_the_client_leaves() -> None:
    with pytest.raises(ClientGone):
        async with cancelled_by(receiving([piece(b"", more=False), GONE])):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_outside_stays_one() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with cancelled_by(lambda: asyncio.Event().wait()):  # type: ignore[arg-type,return-value]
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        async with cancelled_by(receiving([GONE])):
            raise KeyError


async def hears_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("no lifespan here")


async def starts_badly(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    raise ValueError("the database is away")


async def says_so(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the database is away"})


async def ready(scope: Scope, receive: Receive, send: Send) -> None:
    scope["state"]["ready"] = True
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def living(app: Any) -> Any:
    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await run_lifespan(app, scope, receive, send)

    return outer


@pytest.mark.parametrize("app", [hears_nothing, refuses])
async def test_an_app_without_a_lifespan_is_stood_in_for(app: Any) -> None:
    async with Lifespan(living(app)) as life:
        assert life.state == {}


async def test_an_apps_own_lifespan_runs_as_it_is() -> None:
    async with Lifespan(living(ready)) as life:
        assert life.state == {"ready": True}


@pytest.mark.parametrize("app", [starts_badly, says_so])
async def test_a_startup_that_fails_is_not_papered_over(app: Any) -> None:
    with pytest.raises((ValueError, RuntimeError), match="the database is away"):
        async with Lifespan(living(app)):
            pass
