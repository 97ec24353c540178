"""Visit: a request as logins see it: which of their paths it is at, the cookies it brings, and the way back to it.

What becomes of it is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from ai_gateway_mw.context import Context
from ai_gateway_mw.login.cookies import Jar
from ai_gateway_mw.login.provider import Client
from ai_gateway_mw.login.settings import LoginSettings
from ai_gateway_mw.upstream.fetching import is_loopback

LOGIN: Final = "/ngrok/login"
CALLBACK: Final = "/ngrok/callback"
LOGOUT: Final = "/ngrok/logout"

_MAX_PATH: Final = 2_048
_UNFIT: Final = re.compile(r"[\x00-\x20\x7f-\xff\\]")


class Visit:
    """A request, as logins see it."""

    def __init__(self, ctx: Context, settings: LoginSettings, client: Client, now: float) -> None:
        self.now = now
        self._ctx = ctx
        self._settings = settings
        host = (ctx.request_fields.get(b"host") or b"").decode("latin-1")
        origin = settings.public_url or f"{ctx.scope.get('scheme', 'http')}://{host}"
        self._base = str(ctx.scope.get("root_path", "")).rstrip("/")
        self.callback = f"{origin}{self._base}{CALLBACK}"
        self.query = {name: values[0] for name, values in _query(ctx).items() if len(values) == 1}
        on_this_machine = origin.startswith("http://") and is_loopback(_host_of(origin))
        # The cookies of one provider and client are nothing to another one.
        name = f"ngrok-{settings.auth_id or settings.name}"
        self.jar = Jar(
            ctx.request_fields, client.secret, name, secure=not on_this_machine, domain=settings.cookie_domain
        )

    @property
    def is_for_us(self) -> bool:
        return self.query.get("auth_id", "") == self._settings.auth_id

    @property
    def is_page(self) -> bool:
        """Whether a redirect leads somewhere: a person's browser asks for a page."""
        fields = self._ctx.request_fields
        accepted = (fields.get(b"accept") or b"*/*").lower()
        # Fetch Metadata 2.3: scripts and images take anything, show no login, and would crowd out those that are begun.
        is_shown = (fields.get(b"sec-fetch-mode") or b"navigate") == b"navigate"
        return self._ctx.method in ("GET", "HEAD") and is_shown and (b"text/html" in accepted or b"*/*" in accepted)

    @property
    def is_preflight(self) -> bool:
        fields = self._ctx.request_fields
        asks = fields.get(b"origin") is not None and fields.get(b"access-control-request-method") is not None
        return self._ctx.method == "OPTIONS" and asks

    @property
    def here(self) -> str:
        """Where this request goes, to come back to."""
        ctx = self._ctx
        path = self._base + ctx.raw_path.decode("latin-1") + (f"?{ctx.query.decode('latin-1')}" if ctx.query else "")
        return local_path(path) or f"{self._base}/"

    def is_at(self, path: str) -> bool:
        return self._ctx.path == path and self._ctx.method in ("GET", "HEAD")


def local_path(text: str) -> str:
    """The path, where it leads to this host and nowhere else; empty otherwise. Browsers read `//` and `/\\` as the
    beginning of another host, and leave out control characters."""
    return text if text.startswith("/") and not text.startswith("//") and _fits(text) else ""


def _fits(text: str) -> bool:
    return len(text) <= _MAX_PATH and not _UNFIT.search(text) and text.isascii()


def _query(ctx: Context) -> Mapping[str, list[str]]:
    try:
        return parse_qs(ctx.query.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return {}


def _host_of(origin: str) -> str:
    host = origin.partition("://")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
