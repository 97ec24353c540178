"""The way to the provider and back."""

from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw.errors import LoginFailed, LoginRedirect, LoginUnavailable
from tests.login.person import CLIENT, Person

pytestmark = pytest.mark.anyio


async def test_a_login_waits_ten_minutes() -> None:
    """And may be finished on a machine whose clock is somewhat behind."""
    person = Person()
    for seconds, error in ((601, LoginFailed), (599, LoginRedirect), (-60, LoginRedirect), (-61, LoginFailed)):
        person.cookies.clear()
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


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client", "incorrect_client_credentials"])
async def test_that_the_client_itself_is_refused_is_logged(error: str, caplog: pytest.LogCaptureFixture) -> None:
    person = Person()
    person.tokens = {"error": error}
    with pytest.raises(LoginRedirect) as away:
        await person.ask()
    with pytest.raises(LoginFailed, match="does not accept this app as its client"):
        await person.ask(f"/ngrok/callback?state={person.sent_away(away.value)['state']}&code=c")
    assert caplog.messages == ["idp.example.com does not accept `client_id` or `client_secret`"]


@pytest.mark.parametrize("userinfo", [{}, {"sub": ""}, {"sub": None}, {"sub": True}, {"sub": "x" * 300}], ids=str)
async def test_nobody_is_nobody(userinfo: Any) -> None:
    person = Person()
    person.userinfo = userinfo
    with pytest.raises(LoginRedirect) as away:
        await person.ask()
    with pytest.raises(LoginUnavailable):
        await person.ask(f"/ngrok/callback?state={person.sent_away(away.value)['state']}&code=c")
