"""The socket that is served, what uvicorn is told, and the app that a worker makes for itself."""

from __future__ import annotations

import pickle
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_gateway_mw.cli.serving import CannotListen, Options, PolicyApp, configured, listening
from ai_gateway_mw.policy import load_policy
from tests.asgi import request

POLICY = "on_http_request: [{actions: [{type: deny, config: {status_code: 418}}]}]"


@pytest.fixture
def limits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_it_listens_at_once() -> None:
    with listening("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname(), timeout=5):
        pass


def test_ipv6() -> None:
    with listening("::1", 0) as sock:
        assert sock.family is socket.AF_INET6


def test_a_port_in_use() -> None:
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"^port {port} of 127.0.0.1 is in use; choose another one with --port$"):
            listening("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("203.0.113.1", "203.0.113.1 is no address of this machine"),
        ("no such host", "cannot listen on no such host: [^()]+$"),
    ],
)
def test_an_address_that_is_not_ours(host: str, message: str) -> None:
    with pytest.raises(CannotListen, match=message):
        listening(host, 0)


@pytest.mark.usefixtures("limits")
def test_uvicorn_believes_nobody_and_tells_nothing_of_itself() -> None:
    config = configured(PolicyApp(POLICY, Options(Path("policy.yaml"))), Options(Path("policy.yaml")))
    assert (config.proxy_headers, config.server_header, config.access_log) == (False, False, False)
    assert config.date_header
    assert config.factory


@pytest.mark.usefixtures("limits")
def test_a_worker_has_time_to_start_on_a_busy_machine() -> None:
    """One that is killed while it still starts begins anew, which keeps the machine busy: none would ever serve."""
    config = configured(PolicyApp(POLICY, Options(Path("policy.yaml"))), Options(Path("policy.yaml"), workers=4))
    assert config.timeout_worker_healthcheck >= 60


def test_no_worker_is_killed_while_requests_are_still_taken() -> None:
    assert Options(Path("policy.yaml"), drain_time=1.0, drain_delay=60.0).time_to_end >= 61.0


@pytest.mark.usefixtures("limits")
def test_there_are_no_more_requests_than_files_can_be_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    config = configured(PolicyApp(POLICY, Options(Path("policy.yaml"))), Options(Path("policy.yaml")))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert allowed > 256
    assert config.limit_concurrency == (allowed - 64) // 2


@pytest.mark.anyio
async def test_a_worker_serves_the_text_that_it_was_given(tmp_path: Path) -> None:
    """Whatever the file says by then: here it is not even there."""
    made = pickle.loads(pickle.dumps(PolicyApp(POLICY, Options(tmp_path / "gone.yaml"))))
    response = await request(made(), "POST", "/v1/chat/completions")
    assert response.status == 418


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        text = "on_http_request: [{actoins: []}, {actions: [{type: denny}]}]"
        PolicyApp(text, Options(tmp_path / "policy.yaml"))()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "did you mean `actions`?" in said
    assert "unknown action type `denny`" in said


@pytest.mark.parametrize(
    "text",
    [
        POLICY,
        "traffic_policy:\n  on_http_request: []\n",
        "endpoints:\n  - name: one\n    traffic_policy: |\n      on_http_request: []\n",
    ],
    ids=["alone", "within a document", "as text within a document"],
)
def test_the_text_of_the_whole_file(text: str) -> None:
    assert load_policy(text).document.file_text == text
