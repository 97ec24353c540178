"""The real servers that tests start: that they start, stop, and tell why they did not."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from tests.servers import GatewayProcess, clean_environment, serving


async def who(request: Request) -> JSONResponse:
    return JSONResponse({"lifespan": request.app.state.up})


async def numbers(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number

    return StreamingResponse(pieces())


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.up = True
    yield
    app.state.up = False


@asynccontextmanager
async def broken_lifespan(app: Starlette) -> AsyncIterator[None]:
    raise OSError("no database")
    yield  # type: ignore[unreachable]


def test_an_app_is_served_with_its_lifespan() -> None:
    app = Starlette(routes=[Route("/", who), Route("/numbers", numbers)], lifespan=lifespan)
    with serving(app) as url:
        assert httpx.get(url).json() == {"lifespan": True}
        assert httpx.get(f"{url}/numbers").text == "0\n1\n2\n"
    assert app.state.up is False
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_an_app_that_does_not_start_is_told() -> None:
    with pytest.raises(AssertionError, match="did not start"), serving(Starlette(lifespan=broken_lifespan)):
        pass


FAKE_COMMAND = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
print("listening, key", os.environ.get("OPENAI_API_KEY"), flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(CODE))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()
"""


@pytest.fixture
def processes() -> Iterator[list[GatewayProcess]]:
    """What a test has started; all of it has ended afterwards."""
    started: list[GatewayProcess] = []
    yield started
    assert all(process._process.poll() is not None for process in started)


def fake_process(tmp_path: Path, *, code: int = 0, script: str = FAKE_COMMAND) -> GatewayProcess:
    process = GatewayProcess(environment={"OPENAI_API_KEY": "sk-ok"}, directory=tmp_path)
    process.command = [sys.executable, "-c", script.replace("CODE", str(code)), str(process.port)]
    return process


def test_a_process_is_awaited_read_and_stopped(tmp_path: Path, processes: list[GatewayProcess]) -> None:
    with fake_process(tmp_path) as process:
        processes.append(process)
        assert httpx.get(process.url).status_code == 200
        assert process.printed("listening") == "listening, key sk-ok\n"


def test_a_wrong_exit_code_fails(tmp_path: Path, processes: list[GatewayProcess]) -> None:
    with pytest.raises(AssertionError, match="exit code 3 instead of 0"), fake_process(tmp_path, code=3) as process:
        processes.append(process)


def test_a_process_that_dies_shows_what_it_printed(tmp_path: Path, processes: list[GatewayProcess]) -> None:
    process = fake_process(tmp_path, script="print('bad policy'); raise SystemExit(1)")
    processes.append(process)
    with pytest.raises(AssertionError, match="exit code 1:\nbad policy"), process:
        pass


def test_a_process_ends_when_the_test_fails(tmp_path: Path, processes: list[GatewayProcess]) -> None:
    with pytest.raises(ZeroDivisionError), fake_process(tmp_path) as process:
        processes.append(process)
        raise ZeroDivisionError


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_GATEWAY_SECRETS", "env")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-developer")
    assert not {"AI_GATEWAY_SECRETS", "OPENAI_API_KEY"} & set(clean_environment())
    assert "PATH" in clean_environment()
