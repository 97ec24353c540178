from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from ai_gateway_mw.asgi import (
    Shortcuts,
    raw_route_path,
    read_body,
    replaying,
    route_path,
    run_lifespan,
)
from ai_gateway_mw.errors import BodyTooLarge, ClientGone, Overloaded
from ai_gateway_mw.watches import Watch, Watches
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


class Client:
    """A client that stays until it `leaves`; `asked` counts who waits for it, `heard` is set by the first."""

    def __init__(self) -> None:
        self.asked = 0
        self.heard = asyncio.Event()
        self._gone = asyncio.Event()

    async def receive(self) -> Message:
        self.asked += 1
        self.heard.set()
        try:
            await self._gone.wait()
        finally:
            self.asked -= 1
        return GONE

    def leaves(self) -> None:
        self._gone.set()


async def waits(watch: Watch) -> str:
    """What ends a wait that nothing else would end."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        reason = watch.interruption()
        if reason is None:
            raise
        return reason.code
    return ""


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_wait_is_given_up_when_the_client_leaves() -> None:
    client, watches = Client(), Watches(tick=0)
    watch = watches.open(client.receive)
    client.leaves()
    assert await waits(watch) == "client_gone"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_else_a_client_sends_is_passed_over() -> None:
    watches = Watches(tick=0)
    assert await waits(watches.open(receiving([piece(b"", more=False), GONE]))) == "client_gone"


async def test_who_is_quick_is_never_listened_for() -> None:
    client, watches = Client(), Watches(tick=60)
    before = asyncio.all_tasks()
    for _ in range(3):
        watch = watches.open(client.receive)
        await turns()
        watches.close(watch)
    assert (client.asked, asyncio.all_tasks(), watch.listening) == (0, before, False)


async def test_one_listens_for_a_client_and_stops_at_the_end() -> None:
    client, watches = Client(), Watches(tick=0)
    before = asyncio.all_tasks()
    watch = watches.open(client.receive)
    await client.heard.wait()
    await turns(10)
    assert (client.asked, watch.listening) == (1, True)
    watches.close(watch)
    watches.close(watch)
    await asyncio.sleep(0)
    assert (client.asked, asyncio.all_tasks()) == (0, before)


async def test_who_opens_after_all_have_closed_is_listened_for_too() -> None:
    watches = Watches(tick=0)
    watches.close(watches.open(Client().receive))
    await turns(10)
    client = Client()
    watch = watches.open(client.receive)
    client.leaves()
    assert await waits(watch) == "client_gone"


def test_watches_outlive_an_event_loop_that_ended_between_two_ticks() -> None:
    watches = Watches(tick=0)

    async def in_one_loop() -> None:
        watches.close(watches.open(Client().receive))

    async def in_the_next() -> str:
        client = Client()
        watch = watches.open(client.receive)
        client.leaves()
        return await waits(watch)

    asyncio.run(in_one_loop())
    assert asyncio.run(in_the_next()) == "client_gone"


async def test_all_that_wait_can_be_given_up_with_a_reason() -> None:
    watches = Watches(tick=60)

    async def work() -> str:
        return await waits(watches.open(Client().receive))

    tasks = [asyncio.create_task(work()) for _ in range(3)]
    await turns()
    watches.interrupt(Overloaded("No time."))
    watches.interrupt(ClientGone("Too late: the first reason counts."))
    assert await asyncio.gather(*tasks) == ["overloaded"] * 3


@pytest.mark.parametrize("client_leaves_too", [False, True])
async def test_a_cancellation_from_outside_stays_one(client_leaves_too: bool) -> None:
    watches = Watches(tick=60)
    watch: list[Watch] = []

    async def work() -> str:
        watch.append(watches.open(Client().receive))
        return await waits(watch[0])

    task = asyncio.create_task(work())
    await turns()
    if client_leaves_too:
        watch[0].interrupt(ClientGone("gone"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


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


class Telling(Shortcuts):
    """A server that tells when its client leaves."""

    def __init__(self) -> None:
        self.call: Callable[[], None] | None = None

    def when_gone(self, call: Callable[[], None] | None) -> bool:
        self.call = call
        return True

    async def receive(self) -> Message:
        raise AssertionError("nobody has to listen")


async def test_a_server_that_tells_when_its_client_leaves_is_not_listened_to() -> None:
    server, watches = Telling(), Watches(tick=0)
    watch = watches.open(server.receive)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not watch.listening
    assert server.call is not None
    server.call()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert isinstance(watch.interruption(), ClientGone)
    watches.close(watch)
    assert server.call is None
