"""uvicorn's HTTP protocol, less one thing that it leaves open: trailers among the fields that rules decide on."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HttpProtocol(HttpToolsProtocol):
    """Keeps trailer fields (RFC 9110 6.5) out of `scope["headers"]`."""

    def on_headers_complete(self) -> None:
        """The parser appends trailers to this very list, at times before the app has run."""
        self.scope["headers"] = list(self.headers)
        super().on_headers_complete()
