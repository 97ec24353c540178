"""Who somebody is, as an OpenID provider says it at a login and later on, under a clock that is moved by hand."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ai_gateway_mw.errors import LoginRedirect
from ai_gateway_mw.login import DiscoveredProvider, Outcome, Provider
from ai_gateway_mw.upstream.fetching import Fetcher
from tests.issuers import RSA_KEY, rsa_jwk, signed
from tests.login.person import CLIENT, ENDPOINTS, Person

pytestmark = pytest.mark.anyio

ISSUER = "https://idp.example.com"


class OpenIDPerson(Person):
    """A person whose provider says `claims` in the ID token, and `userinfo` elsewhere if it is asked at all."""

    def __init__(self, claims: dict[str, Any], userinfo: dict[str, Any] | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.claims = claims
        self.userinfo = userinfo
        self.nonce = ""

    def _provider(self, fetch: Fetcher, *, pkce: bool) -> Provider:
        return DiscoveredProvider(ISSUER, fetch, clock=lambda: self.now)

    def _answer(self, sent: httpx.Request) -> httpx.Response:
        if sent.url.path == "/jwks":
            return httpx.Response(200, json={"keys": [rsa_jwk(RSA_KEY)]})
        if sent.url.path.startswith("/.well-known/"):
            return httpx.Response(200, json=self._document())
        said = {"iss": ISSUER, "aud": CLIENT.id, "sub": "7", "exp": self.now + 30, "nonce": self.nonce} | self.claims
        self.tokens["id_token"] = signed({"alg": "RS256", "kid": "k1"}, said, RSA_KEY)
        return super()._answer(sent)

    def _document(self) -> dict[str, str]:
        places = {"authorization_endpoint": ENDPOINTS.authorization, "token_endpoint": ENDPOINTS.token}
        if self.userinfo is not None:
            places["userinfo_endpoint"] = ENDPOINTS.userinfo
        return {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks", **places}

    async def ask(self, path: str = "/", *, method: str = "GET", **fields: str) -> Outcome:
        try:
            return await super().ask(path, method=method, **fields)
        except LoginRedirect as redirect:
            self.nonce = self.sent_away(redirect).get("nonce", self.nonce)
            raise


@pytest.mark.parametrize("userinfo", [{"sub": "7"}, None], ids=["says only who", "is not there"])
async def test_what_only_the_id_token_says_stays_when_the_provider_is_asked_again(userinfo: Any) -> None:
    person = OpenIDPerson({"email": "ada@example.com", "name": "Ada"}, userinfo, refresh_interval=300.0)
    await person.sign_in()
    person.now += 300
    outcome = await person.ask()
    assert outcome.refreshed
    assert outcome.session is not None
    assert (outcome.session.email, outcome.session.name) == ("ada@example.com", "Ada")


async def test_what_the_provider_says_later_counts_more_than_the_id_token() -> None:
    person = OpenIDPerson({"email": "ada@example.com"}, {"sub": "7", "name": "Ada"}, refresh_interval=300.0)
    await person.sign_in()
    person.userinfo = {"sub": "7", "email": "ada@example.com", "email_verified": False, "name": "Ada L."}
    person.now += 300
    session = await person.session()
    assert (session.email, session.name) == ("", "Ada L.")


async def test_another_person_than_the_id_token_names_is_signed_out() -> None:
    person = OpenIDPerson({"email": "ada@example.com"}, {"sub": "7"}, refresh_interval=300.0)
    await person.sign_in()
    person.userinfo = {"sub": "8"}
    person.now += 300
    with pytest.raises(LoginRedirect):
        await person.ask()
