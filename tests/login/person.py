"""A person who signs in: a browser under a clock that is moved by hand, at a gateway whose provider is scripted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ai_gateway_mw.asgi import Message
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import LoginRedirect
from ai_gateway_mw.login import Client, Endpoints, Login, LoginSettings, NamedProvider, Outcome, Provider, Session
from ai_gateway_mw.upstream.fetching import Fetcher
from tests.asgi import http_scope

CLIENT = Client("client", "a-secret-of-the-client-0123456789")
ENDPOINTS = Endpoints(
    "https://idp.example.com/authorize", "https://idp.example.com/token", "https://idp.example.com/me"
)


async def _nothing() -> Message:
    return {"type": "http.request"}


class Person:
    """A browser at a gateway whose provider is a few answers; `now` is the time."""

    def __init__(self, *, pkce: bool = True, **settings: Any) -> None:
        self.now = 1_700_000_000.0
        self.cookies: dict[str, str] = {}
        self.asked: list[httpx.Request] = []
        self.tokens: Any = {"access_token": "a1", "token_type": "bearer"}
        self.userinfo: Any = {"sub": "7", "email": "ada@example.com", "name": "Ada"}
        self.status = 200
        transport = httpx.MockTransport(self._answer)
        fetch = Fetcher(lambda: transport, {})
        chosen = LoginSettings("oauth", scopes=("openid",), **settings)
        provider = self._provider(fetch, pkce=pkce)
        self._login = Login(chosen, provider, fetch, clock=lambda: self.now)

    def _provider(self, fetch: Fetcher, *, pkce: bool) -> Provider:
        return NamedProvider(fetch, ENDPOINTS, pkce=pkce)

    def _answer(self, sent: httpx.Request) -> httpx.Response:
        self.asked.append(sent)
        return httpx.Response(self.status, json=self.tokens if sent.url.path == "/token" else self.userinfo)

    async def ask(self, path: str = "/", *, method: str = "GET", **fields: str) -> Outcome:
        sent = {"host": "app.example.com", "cookie": "; ".join(f"{n}={v}" for n, v in self.cookies.items())} | fields
        ctx = Context(http_scope(method, path, headers=sent, scheme="https"), _nothing)
        try:
            return await self._login(ctx, CLIENT)
        finally:
            for _, value in ctx.answer_fields:
                self._keep(value.decode())

    def _keep(self, cookie: str) -> None:
        name, _, value = cookie.partition(";")[0].partition("=")
        if cookie.endswith("Max-Age=0"):
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value

    async def sign_in(self, path: str = "/") -> Session:
        with pytest.raises(LoginRedirect) as away:
            await self.ask(path)
        state = self.sent_away(away.value)["state"]
        with pytest.raises(LoginRedirect) as back:
            await self.ask(f"/ngrok/callback?state={state}&code=c")
        assert dict(back.value.fields)["location"] == path
        return await self.session()

    async def session(self) -> Session:
        session = (await self.ask()).session
        assert session is not None
        return session

    @staticmethod
    def sent_away(redirect: LoginRedirect) -> dict[str, str]:
        location = dict(redirect.fields)["location"]
        return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}

    def form(self) -> Mapping[str, str]:
        return {name: values[0] for name, values in parse_qs(self.asked[0].content.decode()).items()}
