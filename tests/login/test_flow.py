"""Sessions over time, under a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ai_gateway_mw.asgi import Message
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import LoginFailed, LoginRedirect, LoginRequired, LoginUnavailable
from ai_gateway_mw.headers import Fields
from ai_gateway_mw.login import Endpoints, Jar, Login, LoginSettings, NamedProvider, Session
from ai_gateway_mw.login.flow import Outcome, local_path
from ai_gateway_mw.login.provider import Client
from ai_gateway_mw.upstream.fetching import Fetcher
from tests.asgi import http_scope

pytestmark = pytest.mark.anyio

CLIENT = Client("client", "a-secret-of-the-client-0123456789")
ENDPOINTS = Endpoints(
    "https://idp.example.com/authorize", "https://idp.example.com/token", "https://idp.example.com/me"
)


async def nothing() -> Message:
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
        provider = NamedProvider(fetch, ENDPOINTS, pkce=pkce)
        self.login = Login(chosen, provider, fetch, clock=lambda: self.now)

    def _answer(self, sent: httpx.Request) -> httpx.Response:
        self.asked.append(sent)
        return httpx.Response(self.status, json=self.tokens if sent.url.path == "/token" else self.userinfo)

    async def ask(self, path: str = "/", *, client: Client = CLIENT, **fields: str) -> Outcome:
        sent = {"host": "app.example.com", "cookie": "; ".join(f"{n}={v}" for n, v in self.cookies.items())} | fields
        ctx = Context(http_scope("GET", path, headers=sent, scheme="https"), nothing)
        try:
            return await self.login(ctx, client)
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


async def test_a_session_lasts_as_long_as_it_may() -> None:
    person = Person(max_session=3_600.0)
    first = await person.sign_in()
    person.now += 3_599
    assert (await person.session()).id == first.id
    person.now += 1
    with pytest.raises(LoginRedirect):
        await person.ask()
    assert not [name for name in person.cookies if "session" in name]


async def test_a_session_that_nobody_uses_ends() -> None:
    person = Person(idle_session=600.0)
    await person.sign_in()
    for _ in range(5):
        person.now += 500
        await person.session()
    person.now += 600
    with pytest.raises(LoginRedirect):
        await person.ask()


async def test_when_somebody_was_seen_is_written_now_and_then() -> None:
    person = Person(idle_session=600.0)
    await person.sign_in()
    before = dict(person.cookies)
    person.now += 59
    await person.session()
    assert person.cookies == before
    person.now += 1
    await person.session()
    assert person.cookies != before


async def test_who_it_is_is_asked_again_in_time() -> None:
    person = Person(refresh_interval=300.0)
    await person.sign_in()
    person.userinfo["email"] = "ada@new.example"
    person.now += 299
    assert (await person.session()).email == "ada@example.com"
    person.now += 1
    outcome = await person.ask()
    assert outcome.refreshed
    assert (await person.session()).email == "ada@new.example"


@pytest.mark.parametrize("change", [{"sub": "8"}, 401])
async def test_who_it_is_no_more_is_signed_out(change: Any) -> None:
    person = Person(refresh_interval=300.0)
    await person.sign_in()
    if isinstance(change, int):
        person.status = change
    else:
        person.userinfo |= change
    person.now += 300
    with pytest.raises(LoginRedirect):
        await person.ask()


async def test_what_cannot_be_asked_now_stays() -> None:
    person = Person(refresh_interval=300.0)
    await person.sign_in()
    person.status = 503
    person.now += 300
    outcome = await person.ask()
    assert (outcome.session is not None, outcome.refreshed) == (True, False)


async def test_tokens_are_renewed_and_what_is_not_sent_again_is_kept() -> None:
    person = Person()
    person.tokens = {"access_token": "a1", "refresh_token": "r1", "expires_in": "3600"}
    assert (await person.sign_in()).expires == person.now + 3_600
    person.now += 3_571
    person.tokens = {"access_token": "a2", "expires_in": 3600, "id_token": "unchecked"}
    session = await person.session()
    assert (session.access_token, session.refresh_token, session.identity_token) == ("a2", "r1", "")
    assert person.asked[-1].content.startswith(b"grant_type=refresh_token&refresh_token=r1")


async def test_a_login_waits_ten_minutes() -> None:
    person = Person()
    for seconds, error in ((601, LoginFailed), (599, LoginRedirect)):
        with pytest.raises(LoginRedirect) as away:
            await person.ask()
        person.now += seconds
        with pytest.raises(error):
            await person.ask(f"/ngrok/callback?state={person.sent_away(away.value)['state']}&code=c")


@pytest.mark.parametrize("pkce", [True, False])
async def test_what_the_provider_is_asked(pkce: bool) -> None:
    person = Person(pkce=pkce, parameters={"prompt": "login", "state": "never"})
    with pytest.raises(LoginRedirect) as away:
        await person.ask("/x")
    sent = person.sent_away(away.value)
    assert sent["prompt"] == "login"
    assert sent["state"] != "never"
    assert ("code_challenge" in sent) is pkce
    assert "nonce" not in sent
    with pytest.raises(LoginRedirect):
        await person.ask(f"/ngrok/callback?state={sent['state']}&code=the-code")
    form = dict(person.form())
    assert (form.pop("code_verifier", None) is not None) is pkce
    assert form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": "https://app.example.com/ngrok/callback",
        "client_id": CLIENT.id,
        "client_secret": CLIENT.secret,
    }


@pytest.mark.parametrize(
    ("tokens", "error"),
    [
        ({"error": "bad_verification_code"}, LoginFailed),
        ({}, LoginUnavailable),
        ({"access_token": ""}, LoginUnavailable),
        ({"access_token": 5}, LoginUnavailable),
        ({"access_token": "a", "token_type": "mac"}, LoginUnavailable),
        ([1], LoginUnavailable),
    ],
    ids=str,
)
async def test_what_is_no_token_is_none(tokens: Any, error: type[Exception]) -> None:
    person = Person()
    person.tokens = tokens
    with pytest.raises(LoginRedirect) as away:
        await person.ask()
    with pytest.raises(error) as caught:
        await person.ask(f"/ngrok/callback?state={person.sent_away(away.value)['state']}&code=c")
    assert CLIENT.secret not in str(caught.value)


@pytest.mark.parametrize("userinfo", [{}, {"sub": ""}, {"sub": None}, {"sub": True}, {"sub": "x" * 300}], ids=str)
async def test_nobody_is_nobody(userinfo: Any) -> None:
    person = Person()
    person.userinfo = userinfo
    with pytest.raises(LoginRedirect) as away:
        await person.ask()
    with pytest.raises(LoginUnavailable):
        await person.ask(f"/ngrok/callback?state={person.sent_away(away.value)['state']}&code=c")


async def test_an_expired_session_says_why() -> None:
    person = Person(idle_session=600.0, max_session=3_600.0, allow_cors_preflight=True)
    await person.sign_in()
    kept = dict(person.cookies)
    for seconds, timed_out, reached in ((600, True, False), (3_600, False, True)):
        person.cookies, before = dict(kept), person.now
        person.now += seconds
        with pytest.raises(LoginRequired):
            await person.ask(accept="application/json")
        person.now = before
        visit = person.login._end(Session("i", before, before, before, "7", "", ""), before + seconds)
        assert visit is not None
        assert (visit.timed_out, visit.reached_maximum) == (timed_out, reached)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", "/"),
        ("/a/b?c=d&e=%2F%2Fx", "/a/b?c=d&e=%2F%2Fx"),
        ("//evil.example", ""),
        ("/\\evil.example", ""),
        ("\\\\evil.example", ""),
        ("https://evil.example", ""),
        ("evil.example", ""),
        ("", ""),
        ("/a b", ""),
        ("/é", ""),
        ("/\x00", ""),
        ("/\n/evil", ""),
        ("/" + "x" * 2_048, ""),
    ],
)
def test_which_paths_lead_to_this_host(text: str, path: str) -> None:
    assert local_path(text) == path


def jar(cookie: str = "", secret: str = CLIENT.secret, **options: Any) -> Jar:
    fields = Fields([(b"cookie", cookie.encode())] if cookie else [])
    return Jar(fields, secret, "ngrok-oauth", **({"secure": True} | options))


def sent_back(fields: Any) -> str:
    return "; ".join(value.decode().partition(";")[0] for _, value in fields)


@pytest.mark.parametrize("length", [10, 3_000, 6_000, 11_000])
def test_a_jar_gives_back_what_was_put_in(length: int) -> None:
    content = {"text": "x" * length, "number": 1.5}
    cookie = sent_back(jar().write("session", content, seconds=60))
    assert jar(cookie).read("session") == content
    assert jar(cookie).read("login-1") is None
    assert jar(cookie, secret="another secret").read("session") is None
    assert jar(cookie, secure=False).read("session") is None
    assert jar(cookie.replace("-session-", "-other-")).read("other") is None
    assert "xxxx" not in cookie


def test_a_jar_has_a_bottom() -> None:
    assert jar().write("session", {"text": "x" * 12_000}, seconds=60) is None


def test_pieces_that_are_left_over_are_taken_away() -> None:
    cookie = sent_back(jar().write("session", {"text": "x" * 6_000}, seconds=60))
    written = jar(cookie).write("session", {}, seconds=60)
    assert written is not None
    assert [value.endswith(b"Max-Age=0") for _, value in written] == [False, True, True]
