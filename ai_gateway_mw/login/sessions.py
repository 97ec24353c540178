"""Sessions: begun, found again in the cookies of a request, renewed at the provider, and ended when their time is over.

How people come to have one is the flow's; what one holds, `session` says.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from dataclasses import dataclass, replace
from typing import Final

from cachetools import LRUCache, TTLCache

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import LoginFailed
from ai_gateway_mw.headers import Field
from ai_gateway_mw.login.provider import Client, Identity, Provider, Refused, Tokens, ask_for_tokens
from ai_gateway_mw.login.session import Session, fresh_id
from ai_gateway_mw.login.settings import LoginSettings
from ai_gateway_mw.login.visit import Visit
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.upstream.fetching import Fetcher, FetchFailed

_log = logging.getLogger("ai_gateway_mw.policy")
SKEW: Final = 60.0  # by which the clocks of the machines that share logins and sessions may differ
_AHEAD: Final = 30.0  # before its end, an access token is refreshed
_SEEN_STEP: Final = 60.0  # how exactly it is noted when somebody was last seen
_GAP: Final = 30.0  # between two questions about a session, where the provider could not be asked


@dataclass(slots=True)
class Outcome:
    """How a request stands: who it is, or an answer, and what the action's result tells of it."""

    session: Session | None = None
    answer: Reply | None = None
    timed_out: bool = False
    reached_maximum: bool = False
    refreshed: bool = False


class Sessions:
    """Those of one provider's logins."""

    def __init__(self, settings: LoginSettings, provider: Provider, fetch: Fetcher) -> None:
        self._settings = settings
        self._provider = provider
        self._fetch = fetch
        # A browser asks for many things at once, all with the same cookie; a refresh token may be good only once.
        self._refreshes: TTLCache[bytes, asyncio.Task[Tokens]] = TTLCache(1_000, 60.0)
        self._in_vain: LRUCache[str, float] = LRUCache(10_000)  # when the provider could not be asked, by session

    async def of(self, ctx: Context, visit: Visit, client: Client) -> Outcome:
        """Whose it is, and what has become of it; the answer keeps what has changed, and takes away what has ended."""
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

    def begun(self, visit: Visit, who: Identity, tokens: Tokens) -> list[Field]:
        """The fields that keep a session which begins now."""
        session = Session(fresh_id(), visit.now, visit.now, visit.now, who.user_id, who.email, who.name)
        return self._kept(visit, _with(session, tokens, visit.now))

    def _end(self, session: Session, now: float) -> Outcome | None:
        settings = self._settings
        if not -SKEW <= now - session.began < settings.max_session:
            return Outcome(reached_maximum=True)
        if settings.idle_session is not None and now - session.seen >= settings.idle_session:
            return Outcome(timed_out=True)
        return None

    async def _current(self, session: Session, client: Client, now: float) -> tuple[Session, bool]:
        """The session with what is due renewed. What the provider cannot be asked now stays as it is; what it takes
        back raises `Refused`."""
        refreshed = False
        if abs(now - self._in_vain.get(session.id, -math.inf)) < _GAP:
            return self._seen(session, now), refreshed
        try:
            if session.refresh_token and session.expires and now >= session.expires - _AHEAD:
                tokens = await self._refreshed(session.refresh_token, client)
                session = _with(session, replace(tokens, identity=""), now)  # a new ID token nobody has checked
            interval = self._settings.refresh_interval
            if interval is not None and session.access_token and now - session.refreshed >= interval:
                tokens = Tokens(session.access_token, identity=session.identity_token)
                who = await self._provider.identity(tokens, client, None)
                if who.user_id != session.user_id:
                    raise Refused("this is somebody else now")
                session = replace(session, email=who.email, name=who.name, refreshed=now)
                refreshed = True
        except FetchFailed as error:
            self._in_vain[session.id] = now
            _log.warning("%s: a session goes on as it is: %s", self._settings.name, error)
        return self._seen(session, now), refreshed

    def _seen(self, session: Session, now: float) -> Session:
        is_due = self._settings.idle_session is not None and now - session.seen >= self._step
        return replace(session, seen=now) if is_due else session

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

    def _kept(self, visit: Visit, session: Session) -> list[Field]:
        """The fields that keep a session; where it is too long for a browser, without its least important tokens."""
        left = session.began + self._settings.max_session - visit.now
        smaller: Session | None = session
        while smaller is not None:
            written = visit.jar.write("session", smaller.content, seconds=left)
            if written is not None:
                return written
            smaller = smaller.smaller()
        raise LoginFailed("there is too much to keep of this session")


def _with(session: Session, tokens: Tokens, now: float) -> Session:
    """The session with other tokens; what the provider does not hand out again is kept (RFC 6749 6)."""
    return replace(
        session,
        access_token=tokens.access,
        refresh_token=tokens.refresh or session.refresh_token,
        identity_token=tokens.identity or session.identity_token,
        expires=now + tokens.lifetime if tokens.lifetime else 0.0,
    )
