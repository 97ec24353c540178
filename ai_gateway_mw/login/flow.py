"""Login: sends people to the provider, and takes them back (RFC 6749 4.1, RFC 7636); their sessions are kept beside.

Nothing of it is stored here: what belongs to one login (state, nonce, verifier, where to go afterwards) and the session
that follows are sealed into cookies of the browser that it belongs to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import LoginFailed, LoginRedirect, LoginRequired, LoginUnavailable
from ai_gateway_mw.headers import Field
from ai_gateway_mw.login.provider import Client, Provider, Refused, ask_for_tokens
from ai_gateway_mw.login.session import fresh_id
from ai_gateway_mw.login.sessions import SKEW, Outcome, Sessions
from ai_gateway_mw.login.settings import LoginSettings
from ai_gateway_mw.login.visit import CALLBACK, LOGIN, LOGOUT, Visit, local_path
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.upstream.fetching import Fetcher, FetchFailed

_log = logging.getLogger("ai_gateway_mw.policy")
_LOGIN_SECONDS: Final = 600.0
_MAX_LOGINS: Final = 5  # that one browser has begun
_ERROR: Final = re.compile(r"[a-z_]{1,64}")
_NO_STORE: Final = ((b"cache-control", b"no-store"), (b"content-type", b"text/plain; charset=utf-8"))


class Login:
    """One provider's logins. `clock` gives the seconds since 1970."""

    def __init__(
        self, settings: LoginSettings, provider: Provider, fetch: Fetcher, *, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._fetch = fetch
        self._clock = clock
        self._sessions = Sessions(settings, provider, fetch)

    async def __call__(self, ctx: Context, client: Client) -> Outcome:
        """Raises `LoginRedirect`, `LoginRequired`, `LoginFailed` and `LoginUnavailable`."""
        visit = Visit(ctx, self._settings, client, self._clock())
        try:
            return await self._outcome(ctx, visit, client)
        except FetchFailed as error:
            _log.warning("%s: %s", self._settings.name, error)
            raise LoginUnavailable from None

    async def _outcome(self, ctx: Context, visit: Visit, client: Client) -> Outcome:
        if visit.is_at(CALLBACK) and "state" in visit.query:
            await self._come_back(ctx, visit, client)
        if visit.is_at(LOGOUT) and visit.is_for_us:
            ctx.answer_fields = tuple(visit.jar.drop("session"))
            return Outcome(answer=Reply(200, _NO_STORE, b"You are signed out.\n"))
        outcome = await self._sessions.of(ctx, visit, client)
        if visit.is_at(LOGIN) and visit.is_for_us:
            path = local_path(visit.query.get("redirect_path", "/")) or "/"
            if outcome.session is not None:
                raise LoginRedirect(path)
            await self._send_away(ctx, visit, client, path)
        if outcome.session is None and not (self._settings.allow_cors_preflight and visit.is_preflight):
            if not visit.is_page:
                raise LoginRequired
            await self._send_away(ctx, visit, client, visit.here)
        return outcome

    async def _send_away(self, ctx: Context, visit: Visit, client: Client, path: str) -> None:
        endpoints = await self._provider.endpoints()
        state, nonce, verifier = fresh_id(), fresh_id(), _verifier()
        parameters = {
            **self._settings.parameters,
            "response_type": "code",
            "client_id": client.id,
            "redirect_uri": visit.callback,
            "scope": " ".join(self._settings.scopes),
            "state": state,
        }
        if self._provider.issuer:
            parameters["nonce"] = nonce
        if self._provider.pkce:
            parameters |= {"code_challenge": _challenge(verifier), "code_challenge_method": "S256"}
        begun = {"state": state, "nonce": nonce, "verifier": verifier, "path": path, "at": visit.now}
        written = visit.jar.write(_purpose(state), begun, seconds=_LOGIN_SECONDS) or []
        others = visit.jar.purposes("login-")
        dropped = [item for purpose in others[: 1 - _MAX_LOGINS] for item in visit.jar.drop(purpose)]
        ctx.answer_fields += (*written, *dropped)
        separator = "&" if "?" in endpoints.authorization else "?"
        raise LoginRedirect(f"{endpoints.authorization}{separator}{urlencode(parameters)}")

    async def _come_back(self, ctx: Context, visit: Visit, client: Client) -> None:
        state = visit.query["state"]
        purpose = _purpose(state)
        begun = visit.jar.read(purpose)
        if begun is None or not hmac.compare_digest(str(begun["state"]).encode(), state.encode()):
            raise LoginFailed("this browser has not begun this login, or it does not keep cookies")
        dropped = visit.jar.drop(purpose)
        ctx.answer_fields = tuple(dropped)
        if not -SKEW <= visit.now - begun["at"] <= _LOGIN_SECONDS:
            raise LoginFailed("it took too long")
        if "error" in visit.query:
            said = visit.query["error"]
            raise LoginFailed(f"the provider said {said}" if _ERROR.fullmatch(said) else "the provider refused")
        try:
            written = await self._finished(visit, client, begun)
        except FetchFailed:
            ctx.answer_fields = ()  # it can still be finished, when the provider is there again
            raise
        ctx.answer_fields = (*dropped, *written)
        raise LoginRedirect(begun["path"])

    async def _finished(self, visit: Visit, client: Client, begun: Mapping[str, Any]) -> list[Field]:
        """The fields that keep the session of a login that has come back. Raises `LoginFailed` and `FetchFailed`."""
        endpoints = await self._provider.endpoints()
        if endpoints.issuer and visit.query.get("iss", endpoints.issuer) != endpoints.issuer:  # RFC 9207
            raise LoginFailed("another provider has answered")
        parameters = {"grant_type": "authorization_code", "code": visit.query.get("code", "")}
        parameters["redirect_uri"] = visit.callback
        if self._provider.pkce:
            parameters["code_verifier"] = begun["verifier"]
        try:
            tokens = await ask_for_tokens(self._fetch, endpoints, client, parameters)
            who = await self._provider.identity(tokens, client, begun["nonce"] if self._provider.issuer else None)
        except Refused as error:
            raise LoginFailed(str(error)) from None
        return self._sessions.begun(visit, who, tokens)


def _purpose(state: str) -> str:
    return f"login-{hashlib.sha256(state.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _verifier() -> str:
    return base64.urlsafe_b64encode(os.urandom(48)).decode()


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
