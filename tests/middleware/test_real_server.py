"""What only shows with real bytes on a real port: uvicorn with either of its parsers between client and gateway."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.gateways import CHAT_PATH, KEY, Host, actions, gateway
from tests.servers import serving

POLICY = actions(
    ("gateway-auth", {"keys": [{"name": "team", "value": KEY}]}),
    ("set-vars", {"vars": [{"model": "${req.method == 'POST' ? req.body.model : ''}"}]}),
) | actions(("add-headers", {"headers": {"x-query": "${getQueryParam('q')}"}}), phase="on_http_response")


@pytest.fixture(scope="module", params=["httptools", "h11"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Host, str, int]]:
    host = Host(headers=[(b"content-length", b"4")])
    with serving(GatewayMiddleware(host, gateway=gateway(POLICY)), http=request.param) as url:
        parts = urlsplit(url)
        yield host, str(parts.hostname), int(parts.port or 0)


def answer(served: Any, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """The status and the whole answer to these bytes."""
    host, name, port = served
    host.scopes.clear()
    with socket.create_connection((name, port), timeout=5) as sock:
        sock.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n" + body)
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
    return int(received.split(b" ", 2)[1]), received


def request(target: str, *fields: str, method: str = "GET", length: int = 0) -> str:
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway.test", "Connection: close", *fields]
    return "\n".join([*lines, *([f"Content-Length: {length}"] if length else []), ""])


BEARER = f"Authorization: Bearer {KEY}"
BODY = b'{"model":"m"}'


def test_a_request_passes(served: Any) -> None:
    status, received = answer(served, request(CHAT_PATH, BEARER, method="POST", length=len(BODY)), BODY)
    assert (status, received[-4:]) == (200, b"host")
    assert b"x-request-id: req_" in received
    assert KEY not in repr(served[0].scopes)


TRAILERS = b"Authorization: Bearer evil\r\nX-Api-Key: evil\r\nX-Evil: 1\r\n"
CHUNKED = b"d\r\n" + BODY + b"\r\n0\r\n" + TRAILERS + b"\r\n"


def test_trailers_that_come_after_the_head_was_read_are_no_fields(served: Any) -> None:
    """One of uvicorn's parsers appends them to the list of fields that the app has been given."""
    host, name, port = served
    host.scopes.clear()
    head = request(CHAT_PATH, BEARER, "Transfer-Encoding: chunked", "Expect: 100-continue", method="POST")
    with socket.create_connection((name, port), timeout=5) as sock:
        sock.sendall(head.replace("\n", "\r\n").encode() + b"\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 100 ")  # the app waits for the body
        sock.sendall(CHUNKED)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert "evil" not in repr(host.scope["headers"]).lower()


def test_trailers_that_come_with_the_head_change_no_credential(served: Any) -> None:
    """Nobody can tell them from fields by then; that they contradict one is seen."""
    head = request(CHAT_PATH, BEARER, "Transfer-Encoding: chunked", method="POST")
    status, _ = answer(served, head, CHUNKED)
    assert status in (200, 400)
    assert "Bearer evil" not in repr(served[0].scopes)


@pytest.mark.parametrize(
    ("target", "statuses"),
    [
        ("/v1/chat%2fcompletions", {400}),
        ("/v1//chat/completions", {400}),
        ("/v1/chat/../chat/completions", {400}),
        ("/v1/%2e%2e/v1/models", {400}),
        ("/v1/chat/completions%00", {400}),
        ("/v1/chat/completions;a", {400}),
        ("/v1/chat/completions/", {400}),
        ("/v1/models", {401}),
        ("/v1/models?key=x#fragment", {401, 400}),
        ("http://169.254.169.254/v1/models", {200, 401, 400}),
        ("//evil.test/v1/models", {200, 400, 401}),
        ("*", {200, 400}),
    ],
)
def test_no_target_gets_past_to_a_guarded_path(served: Any, target: str, statuses: set[int]) -> None:
    status, received = answer(served, request(target))
    assert status in statuses, received
    assert all(scope["path"] not in (CHAT_PATH, "/v1/models") for scope in served[0].scopes)


@pytest.mark.parametrize("query", ["q=%0d%0ax-evil:1", "q=%00", "q=%01", "q=%7f", "q=%e2%80%a8"])
def test_what_a_client_sends_does_not_break_the_head_of_the_answer(served: Any, query: str) -> None:
    status, received = answer(served, request(f"/v1/models?{query}", BEARER))
    assert status in (200, 403)
    assert b"\r\nx-evil" not in received


@pytest.mark.parametrize(
    "fields",
    [
        [BEARER, "Host: other.test"],
        [BEARER, "Authorization: Bearer sk-other"],
        [BEARER, "X-Api-Key: sk-other"],
        [BEARER, "Content-Type: a/b", "Content-Type: c/d"],
    ],
    ids=["hosts", "authorizations", "credentials", "content types"],
)
def test_fields_that_contradict_each_other_are_refused(served: Any, fields: list[str]) -> None:
    assert answer(served, request("/v1/models", *fields))[0] == 400
    assert served[0].scopes == []


@pytest.mark.parametrize("value", ["\xff\xfe", "\x01", "é", "a" * 5000, "' OR 1=1"])
def test_a_credential_of_any_bytes_is_a_401(served: Any, value: str) -> None:
    assert answer(served, request("/v1/models", f"Authorization: Bearer {value}"))[0] in (400, 401)
    assert served[0].scopes == []


@pytest.mark.parametrize("method", ["post", "Post"])
def test_a_method_in_lower_case_is_no_way_around(served: Any, method: str) -> None:
    assert answer(served, request(CHAT_PATH, method=method, length=len(BODY)), BODY)[0] in (400, 401)
    assert served[0].scopes == []
