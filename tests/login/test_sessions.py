"""Sessions over time, under a clock that is moved by hand."""

from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw.errors import LoginRedirect, LoginRequired
from tests.login.person import Person

pytestmark = pytest.mark.anyio

PREFLIGHT = {"origin": "https://other.example", "access-control-request-method": "GET"}


async def test_a_session_lasts_as_long_as_it_may() -> None:
    person = Person(max_session=3_600.0)
    first = await person.sign_in()
    person.now += 3_599
    assert (await person.session()).id == first.id
    person.now += 1
    with pytest.raises(LoginRedirect):
        await person.ask()
    assert not [name for name in person.cookies if "session" in name]


async def test_a_clock_may_be_somewhat_behind_that_of_where_a_session_began() -> None:
    person = Person()
    await person.sign_in()
    person.now -= 60
    await person.session()
    person.now -= 1
    with pytest.raises(LoginRedirect):
        await person.ask()


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


@pytest.mark.parametrize("due", ["userinfo", "tokens"])
async def test_a_provider_that_is_away_is_not_asked_at_every_request(due: str) -> None:
    person = Person(refresh_interval=300.0 if due == "userinfo" else None)
    if due == "tokens":
        person.tokens |= {"refresh_token": "r1", "expires_in": 300}
    await person.sign_in()
    person.status = 503
    person.now += 300
    person.asked.clear()
    for _ in range(5):
        await person.session()
        person.now += 8
    assert len(person.asked) == 2
    person.status = 200
    person.now += 30
    await person.session()
    assert len(person.asked) == 3


async def test_nor_is_it_at_every_request_of_many_sessions() -> None:
    person = Person(refresh_interval=300.0)
    browsers = []
    for _ in range(1_001):
        person.cookies = {}
        await person.sign_in()
        browsers.append(person.cookies)
    person.status = 503
    person.now += 300
    for _ in range(2):
        person.asked.clear()
        for person.cookies in browsers:
            await person.session()
    assert not person.asked


async def test_one_session_that_cannot_be_renewed_is_not_another_one() -> None:
    person = Person(refresh_interval=300.0)
    await person.sign_in()
    cookies = dict(person.cookies)
    person.cookies.clear()
    await person.sign_in()
    person.now += 300
    person.status = 503
    await person.session()
    person.cookies, person.status = cookies, 200
    assert (await person.ask()).refreshed


async def test_tokens_are_renewed_and_what_is_not_sent_again_is_kept() -> None:
    person = Person()
    person.tokens = {"access_token": "a1", "refresh_token": "r1", "expires_in": "3600"}
    assert (await person.sign_in()).expires == person.now + 3_600
    person.now += 3_571
    person.tokens = {"access_token": "a2", "expires_in": 3600, "id_token": "unchecked"}
    session = await person.session()
    assert (session.access_token, session.refresh_token, session.identity_token) == ("a2", "r1", "")
    assert person.asked[-1].content.startswith(b"grant_type=refresh_token&refresh_token=r1")


async def test_an_expired_session_says_why() -> None:
    person = Person(idle_session=600.0, max_session=3_600.0, allow_cors_preflight=True)
    await person.sign_in()
    kept = dict(person.cookies)
    for seconds, timed_out, reached in ((600, True, False), (3_600, False, True)):
        person.cookies, before = dict(kept), person.now
        person.now += seconds
        with pytest.raises(LoginRequired):
            await person.ask(accept="application/json")
        person.cookies = dict(kept)
        outcome = await person.ask(method="OPTIONS", **PREFLIGHT)
        person.now = before
        assert (outcome.timed_out, outcome.reached_maximum) == (timed_out, reached)
