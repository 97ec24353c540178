"""Login: sends people to the provider, takes them back, and keeps their session until it ends (RFC 6749 4.1, RFC 7636).

Nothing of it is stored here: what belongs to one login (state, nonce, verifier, where to go afterwards) and the session
that follows are sealed into cookies of the browser that it belongs to.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from cachetools import TTLCache

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import LoginFailed, LoginRedirect, LoginRequired, LoginUnavailable
from ai_gateway_mw.headers import Field
from ai_gateway_mw.login.cookies import Jar
from ai_gateway_mw.login.provider import Client, Provider, Refused, Tokens, ask_for_tokens
from ai_gateway_mw.login.session import Session, fresh_id
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.upstream.fetching import Fetcher, FetchFailed, is_loopback

LOGIN: Final = "/ngrok/login"
CALLBACK: Final = "/ngrok/callback"
LOGOUT: Final = "/ngrok/logout"

_log = logging.getLogger("ai_gateway_mw.policy")
_LOGIN_SECONDS: Final = 600.0
_MAX_LOGINS: Final = 5  # that one browser has begun
_AHEAD: Final = 30.0  # before its end, an access token is refreshed
_SEEN_STEP: Final = 60.0  # how exactly it is noted when somebody was last seen
_MAX_PATH: Final = 2_048
_ERROR: Final = re.compile(r"[a-z_]{1,64}")
_UNFIT: Final = re.compile(r"[\x00-\x20\x7f-\xff\\]")
_NO_STORE: Final = ((b"cache-control", b"no-store"), (b"content-type", b"text/plain; charset=utf-8"))


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """What a policy says of logins; durations in seconds, None where there is no limit of that kind."""

    name: str
    auth_id: str = ""
    scopes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    max_session: float = 14 * 24 * 3_600.0
    idle_session: float | None = None
    refresh_interval: float | None = None
    allow_cors_preflight: bool = False
    cookie_domain: str = ""
    public_url: str = ""


@dataclass(slots=True)
class Outcome:
    """How a request stands: who it is, or an answer, and what the action's result tells of it."""

    session: Session | None = None
    answer: Reply | None = None
    timed_out: bool = False
    reached_maximum: bool = False
    refreshed: bool = False


class Login:
    """One provider's logins. `clock` gives the seconds since 1970."""

    def __init__(
        self, settings: LoginSettings, provider: Provider, fetch: Fetcher, *, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._fetch = fetch
        self._clock = clock
        # A browser asks for many things at once, all with the same cookie; a refresh token may be good only once.
        self._refreshes: TTLCache[bytes, asyncio.Task[Tokens]] = TTLCache(1_000, 60.0)

    async def __call__(self, ctx: Context, client: Client) -> Outcome:
        """Raises `LoginRedirect`, `LoginRequired`, `LoginFailed` and `LoginUnavailable`."""
        visit = _Visit(ctx, self._settings, client, self._clock())
        try:
            return await self._outcome(ctx, visit, client)
        except FetchFailed as error:
            _log.warning("%s: %s", self._settings.name, error)
            raise LoginUnavailable from None

    async def _outcome(self, ctx: Context, visit: _Visit, client: Client) -> Outcome:
        if visit.is_at(CALLBACK) and "state" in visit.query:
            await self._come_back(ctx, visit, client)
        if visit.is_at(LOGOUT) and visit.is_for_us:
            ctx.answer_fields = tuple(visit.jar.drop("session"))
            return Outcome(answer=Reply(200, _NO_STORE, b"You are signed out.\n"))
        outcome = await self._session(ctx, visit, client)
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

    # To the provider and back ----------------------------------------------------------------------------------------

    async def _send_away(self, ctx: Context, visit: _Visit, client: Client, path: str) -> None:
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

    async def _come_back(self, ctx: Context, visit: _Visit, client: Client) -> None:
        state = visit.query["state"]
        purpose = _purpose(state)
        begun = visit.jar.read(purpose)
        if begun is None or not hmac.compare_digest(str(begun["state"]).encode(), state.encode()):
            raise LoginFailed("this browser has not begun this login, or it does not keep cookies")
        dropped = visit.jar.drop(purpose)
        ctx.answer_fields = tuple(dropped)
        if not 0 <= visit.now - begun["at"] <= _LOGIN_SECONDS:
            raise LoginFailed("it took too long")
        if "error" in visit.query:
            said = visit.query["error"]
            raise LoginFailed(f"the provider said {said}" if _ERROR.fullmatch(said) else "the provider refused")
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
        session = Session(fresh_id(), visit.now, visit.now, visit.now, who.user_id, who.email, who.name)
        ctx.answer_fields = (*dropped, *self._kept(visit, _with(session, tokens, visit.now)))
        raise LoginRedirect(begun["path"])

    # The session -----------------------------------------------------------------------------------------------------

    async def _session(self, ctx: Context, visit: _Visit, client: Client) -> Outcome:
        content = visit.jar.read("session")
        session = Session.of(content) if content is not None else None
        if session is None:
            return Outcome()
        ended = self._end(session, visit.now)
        if ended is None:
            try:
                current, refreshed = await self._current(session, client, visit.now)
            except Refused:
                ended = Outcome()
            else:
                if current != session:
                    ctx.answer_fields = tuple(self._kept(visit, current))
                return Outcome(current, refreshed=refreshed)
        ctx.answer_fields = tuple(visit.jar.drop("session"))
        return ended

    def _end(self, session: Session, now: float) -> Outcome | None:
        settings = self._settings
        if not 0 <= now - session.began < settings.max_session:
            return Outcome(reached_maximum=True)
        if settings.idle_session is not None and now - session.seen >= settings.idle_session:
            return Outcome(timed_out=True)
        return None

    async def _current(self, session: Session, client: Client, now: float) -> tuple[Session, bool]:
        """The session with what is due renewed. What the provider cannot be asked now stays as it is; what it takes
        back raises `Refused`."""
        refreshed = False
        try:
            if session.refresh_token and session.expires and now >= session.expires - _AHEAD:
                tokens = await self._refreshed(session.refresh_token, client)
                session = _with(session, replace(tokens, identity=""), now)  # a new ID token nobody has checked
            interval = self._settings.refresh_interval
            if interval is not None and session.access_token and now - session.refreshed >= interval:
                who = await self._provider.identity(Tokens(session.access_token), client, None)
                if who.user_id != session.user_id:
                    raise Refused("this is somebody else now")
                session = replace(session, email=who.email, name=who.name, refreshed=now)
                refreshed = True
        except FetchFailed as error:
            _log.warning("%s: a session goes on as it is: %s", self._settings.name, error)
        if self._settings.idle_session is not None and now - session.seen >= self._step:
            session = replace(session, seen=now)
        return session, refreshed

    @property
    def _step(self) -> float:
        return min(_SEEN_STEP, (self._settings.idle_session or 0.0) / 10)

    async def _refreshed(self, token: str, client: Client) -> Tokens:
        digest = hashlib.sha256(token.encode()).digest()
        task = self._refreshes.get(digest)
        if task is None or (task.done() and (task.cancelled() or isinstance(task.exception(), FetchFailed))):
            task = self._refreshes[digest] = asyncio.create_task(self._refresh(token, client))
        return await asyncio.shield(task)

    async def _refresh(self, token: str, client: Client) -> Tokens:
        parameters = {"grant_type": "refresh_token", "refresh_token": token}
        return await ask_for_tokens(self._fetch, await self._provider.endpoints(), client, parameters)

    def _kept(self, visit: _Visit, session: Session) -> list[Field]:
        """The fields that keep a session; where it is too long for a browser, without its least important tokens."""
        left = session.began + self._settings.max_session - visit.now
        smaller: Session | None = session
        while smaller is not None:
            written = visit.jar.write("session", smaller.content, seconds=left)
            if written is not None:
                return written
            smaller = smaller.smaller()
        raise LoginFailed("there is too much to keep of this session")


class _Visit:
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
        accepted = (self._ctx.request_fields.get(b"accept") or b"*/*").lower()
        return self._ctx.method in ("GET", "HEAD") and (b"text/html" in accepted or b"*/*" in accepted)

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


def _with(session: Session, tokens: Tokens, now: float) -> Session:
    """The session with other tokens; what the provider does not hand out again is kept (RFC 6749 6)."""
    return replace(
        session,
        access_token=tokens.access,
        refresh_token=tokens.refresh or session.refresh_token,
        identity_token=tokens.identity or session.identity_token,
        expires=now + tokens.lifetime if tokens.lifetime else 0.0,
    )


def _purpose(state: str) -> str:
    return f"login-{hashlib.sha256(state.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _verifier() -> str:
    return base64.urlsafe_b64encode(os.urandom(48)).decode()


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def identity_of(session: Session, issuer: str, session_name: str) -> dict[str, Any]:
    """Who it is as expressions read it, under a stable id that no two providers share."""
    stable = hashlib.sha256(f"{issuer}\0{session.user_id}".encode()).hexdigest()[:32]
    return {
        "id": f"idn_{stable}",
        "email": session.email,
        "name": session.name,
        "provider_user_id": session.user_id,
        session_name: session.id,
    }
