"""SIGTERM: readiness fails at once, streams have their time, and what is left over learns that it is cut off."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.fake_upstream import ThreadedUpstream
from tests.servers import PATIENCE, GatewayProcess

pytestmark = pytest.mark.subprocess

POLICY = """\
on_http_request:
  - actions:
      - type: ai-gateway
        config:
          providers:
            - {{id: openai, base_url: "{url}/v1", api_keys: [{{value: "${{secrets.get('openai', 'primary')}}"}}]}}
            - {{id: anthropic, base_url: "{url}/v1", api_keys: [{{value: "${{secrets.get('openai', 'primary')}}"}}]}}
"""
MESSAGES = [{"role": "user", "content": "Hello"}]
REQUESTS = {
    "/v1/chat/completions": {"model": "gpt-4o", "messages": MESSAGES, "stream": True},
    "/v1/messages": {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": MESSAGES, "stream": True},
}


def _gateway(
    upstream: ThreadedUpstream, directory: Path, key: str, *arguments: str, own_group: bool = False, **settings: str
) -> GatewayProcess:
    policy = directory / "policy.yaml"
    policy.write_text(POLICY.format(url=upstream.url))
    environment = {"AI_GATEWAY_SECRET__OPENAI__PRIMARY": key}
    environment |= {f"AI_GATEWAY_{name.upper()}": value for name, value in settings.items()}
    return GatewayProcess(
        "run", policy, *arguments, environment=environment, directory=directory, own_group=own_group, patience=50
    )


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("path", REQUESTS)
def test_a_stream_that_takes_too_long_ends_with_an_error_event(
    path: str, workers: str, tmp_path: Path, threaded_upstream: ThreadedUpstream
) -> None:
    stalled = _gateway(threaded_upstream, tmp_path, "sk-stall-after-5", "--workers", workers, drain_time="0.3")
    with stalled as gateway:
        with httpx.stream("POST", gateway.url + path, json=REQUESTS[path], trust_env=False) as answer:
            lines = answer.iter_lines()
            received = [next(lines)]
            os.kill(gateway.pid, signal.SIGTERM)
            received += lines
        assert '"error"' in received[-2]
        assert gateway.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nobody_listens_while_open_streams_go_on(
    workers: str, tmp_path: Path, threaded_upstream: ThreadedUpstream
) -> None:
    """Who connects then would wait for an answer that never comes, and the next gateway could not have the port."""
    with _gateway(threaded_upstream, tmp_path, "sk-stall-after-5", "--workers", workers, drain_time="60") as gateway:
        path = "/v1/chat/completions"
        with httpx.stream("POST", gateway.url + path, json=REQUESTS[path], trust_env=False) as answer:
            next(answer.iter_lines())
            os.kill(gateway.pid, signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while _listens(gateway.port):
                assert time.monotonic() < deadline
                time.sleep(0.05)  # else a worker that still starts has its queue full, and nobody is refused
            assert gateway.is_running
        assert gateway.stop() == 0


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


def test_a_request_that_waits_for_its_provider_is_answered(tmp_path: Path, threaded_upstream: ThreadedUpstream) -> None:
    with _gateway(threaded_upstream, tmp_path, "sk-hang", drain_time="0.3") as gateway:
        with ThreadPoolExecutor(1) as pool:
            answering = pool.submit(_asked, gateway)
            threaded_upstream.wait_arrived()
            os.kill(gateway.pid, signal.SIGTERM)
            answer = answering.result(PATIENCE)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "overloaded"
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
        assert gateway.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_says_it_again_and_again_does_no_harm(
    workers: str, tmp_path: Path, threaded_upstream: ThreadedUpstream
) -> None:
    """Also while the process ends."""
    with _gateway(threaded_upstream, tmp_path, "sk-ok", "--workers", workers) as gateway:
        while gateway.is_running:
            os.kill(gateway.pid, signal.SIGTERM)
            time.sleep(0.001)
        assert gateway.stop() == 0


def test_readiness_fails_at_once_while_requests_are_still_taken(
    tmp_path: Path, threaded_upstream: ThreadedUpstream
) -> None:
    with _gateway(threaded_upstream, tmp_path, "sk-ok", drain_delay="60", drain_time="60") as gateway:
        assert _got(gateway, "/readyz").status_code == 200
        os.kill(gateway.pid, signal.SIGTERM)
        _until_unready(gateway)
        assert _got(gateway, "/healthz").status_code == 200
        answer = _asked(gateway)
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        assert gateway.stop() == 0  # told twice, it does not wait


def test_requests_are_still_taken_where_a_whole_group_is_told_to_end(
    tmp_path: Path, threaded_upstream: ThreadedUpstream
) -> None:
    """As service managers do: what supervises the workers tells them, too, which is no second time."""
    settings = {"drain_delay": "60", "drain_time": "60"}
    gateway = _gateway(threaded_upstream, tmp_path, "sk-ok", "--workers", "2", own_group=True, **settings)
    with gateway:
        os.killpg(gateway.pid, signal.SIGTERM)
        _until_unready(gateway)
        passed_on = time.monotonic() + 1
        while time.monotonic() < passed_on:
            assert _asked(gateway).status_code == 200
        while gateway.is_running:
            os.kill(gateway.pid, signal.SIGTERM)
            time.sleep(0.1)
        assert gateway.stop() == 0


def _asked(gateway: GatewayProcess) -> httpx.Response:
    path = "/v1/chat/completions"
    return httpx.post(gateway.url + path, json=REQUESTS[path], trust_env=False, timeout=PATIENCE)


def _got(gateway: GatewayProcess, path: str) -> httpx.Response:
    return httpx.get(gateway.url + path, trust_env=False, timeout=PATIENCE)


def _until_unready(gateway: GatewayProcess) -> None:
    """A signal is delivered when the system likes."""
    deadline = time.monotonic() + PATIENCE
    while (answer := _got(gateway, "/readyz")).status_code == 200:
        assert time.monotonic() < deadline
    assert answer.status_code == 503
    assert answer.json() == {"status": "unready", "checks": {"server": "is stopping"}}
