from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

from ai_gateway_mw.cli.protocol import HttpProtocol
from tests.servers import serving


async def told(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the names of the fields in the scope, once the body has been read."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        names = b",".join(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(names))]})
        await send({"type": "http.response.body", "body": names})


def test_trailers_never_join_the_head() -> None:
    request = (
        b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nauthorization: Bearer evil\r\nx-forwarded-for: 10.0.0.1\r\n\r\n"
    )
    with serving(told, http=HttpProtocol, lifespan="off") as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), timeout=5) as sock:
            sock.sendall(request)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"host,connection,transfer-encoding")
