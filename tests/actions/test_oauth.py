from __future__ import annotations

from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.actions.oauth import OAuth
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import Host, actions, problems_of, secret_store

pytestmark = pytest.mark.anyio

SECRET = "a-secret-of-the-client-0123456789"
TELLS = ("custom-response", {"body": "${actions.ngrok.oauth}"})
PEOPLE = {
    "amazon": {"user_id": "amzn1.7", "email": "ada@example.com", "name": "Ada"},
    "facebook": {"id": "7", "email": "ada@example.com", "name": "Ada"},
    "github": {"id": 7, "login": "ada", "email": "ada@example.com", "name": "Ada"},
    "gitlab": {"sub": "7", "email": "ada@example.com", "email_verified": True, "name": "Ada"},
    "google": {"sub": "7", "email": "ada@example.com", "email_verified": True, "name": "Ada"},
    "linkedin": {"sub": "7", "email": "ada@example.com", "email_verified": "true", "name": "Ada"},
    "microsoft": {"id": "7", "mail": "root@evil.example", "userPrincipalName": "ada@example.com", "displayName": "Ada"},
    "twitch": {"sub": "7", "email": "ada@example.com", "preferred_username": "Ada"},
}


class Browser:
    """At a gateway with this action, whose providers all answer here."""

    def __init__(self, provider: str, *then: Any, **config: Any) -> None:
        self.asked: list[httpx.Request] = []
        self.cookies: dict[str, str] = {}
        self._person = PEOPLE[provider]
        written = {"provider": provider, "client_id": "client", "client_secret": "${secrets.get('idp', 's')}", **config}
        self.gate = Gateway.from_policy(
            actions(("oauth", written), *(then or (TELLS,))),
            secrets=secret_store({"idp": {"s": SECRET}}),
            transport=httpx.MockTransport(self._answer),
        )
        self.app = GatewayMiddleware(Host(), gateway=self.gate, intercept="all")

    def _answer(self, sent: httpx.Request) -> httpx.Response:
        self.asked.append(sent)
        tokens = {"access_token": "access", "token_type": "bearer"}
        return httpx.Response(200, json=tokens if sent.method == "POST" else self._person)

    async def get(self, path: str) -> Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await request(self.app, path=path, headers={"cookie": cookie}, scheme="https")
        for line in answer.headers.getlist("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    async def sign_in(self) -> tuple[str, dict[str, str]]:
        """Where the browser was sent, and with which parameters."""
        away = urlsplit((await self.get("/")).headers["location"])
        sent = {name: values[0] for name, values in parse_qs(away.query).items()}
        back = await self.get(f"/ngrok/callback?state={sent['state']}&code=c&iss=https://accounts.google.com")
        assert (back.status, back.headers["location"]) == (302, "/")
        return f"{away.scheme}://{away.netloc}{away.path}", sent


def test_every_provider_is_tested() -> None:
    assert set(get_args(OAuth.Config.model_fields["provider"].annotation)) == PEOPLE.keys()


@pytest.mark.parametrize("provider", PEOPLE)
async def test_people_sign_in_at_every_provider(provider: str) -> None:
    browser = Browser(provider)
    where, sent = await browser.sign_in()
    assert where.startswith("https://")
    assert sent["redirect_uri"] == "https://gateway.test/ngrok/callback"
    told = (await browser.get("/")).json()
    identity = told["identity"]
    assert (identity["email"], identity["name"]) == ("ada@example.com", "Ada")
    assert identity["provider_user_id"] in ("7", "amzn1.7")
    assert identity.keys() == {"id", "email", "name", "provider_user_id", "current_provider_session_id"}
    assert (told["access_token"], told["userinfo_refreshed"], told["session_timed_out"]) == ("access", False, False)
    assert all(sent.url.scheme == "https" for sent in browser.asked)
    assert browser.asked[-1].headers["user-agent"] == "ai-gateway-mw"


async def test_ids_of_two_providers_differ() -> None:
    ids = []
    for provider in ("google", "gitlab"):
        browser = Browser(provider)
        await browser.sign_in()
        ids.append((await browser.get("/")).json()["identity"]["id"])
    assert ids[0] != ids[1]


async def test_scopes_and_parameters_may_be_others() -> None:
    browser = Browser("google", scopes=["openid", "https://x.example/y"], authz_url_params={"access_type": "offline"})
    _, sent = await browser.sign_in()
    assert (sent["scope"], sent["access_type"]) == ("openid https://x.example/y", "offline")


async def test_later_rules_say_who_may_come_in() -> None:
    policy = {
        "on_http_request": [
            {
                "actions": [
                    {
                        "type": "oauth",
                        "config": {"provider": "google", "client_id": "c", "client_secret": SECRET},
                    }
                ]
            },
            {
                "expressions": ["!actions.ngrok.oauth.identity.email.endsWith('@acme.com')"],
                "actions": [{"type": "deny"}],
            },
        ]
    }
    browser = Browser("google")
    gate = Gateway.from_policy(policy, secrets=secret_store(), transport=httpx.MockTransport(browser._answer))
    browser.app = GatewayMiddleware(Host(), gateway=gate, intercept="all")
    await browser.sign_in()
    assert (await browser.get("/")).status == 403


async def test_before_anybody_signed_in_there_is_no_identity() -> None:
    gate = Gateway.from_policy(actions(("custom-response", {"body": "open"}), expressions=["true"]))
    assert (await request(gate.app, path="/v1/models")).text == "open"


def config(change: dict[str, Any]) -> dict[str, Any]:
    written = {"provider": "google", "client_id": "c", "client_secret": SECRET} | change
    return {name: value for name, value in written.items() if value is not None}


GOOD: list[dict[str, Any]] = [
    {},
    {"provider": "github", "scopes": ["read:org", "read:user"]},
    {"auth_id": "team-1", "authz_url_params": {"prompt": "consent"}},
    {"max_session_duration": "1h", "idle_session_timeout": "5m", "userinfo_refresh_interval": "1m"},
    {"allow_cors_preflight": True, "auth_cookie_domain": "example.com", "public_url": "https://app.example.com"},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"provider": "myspace"}, '"myspace"', "`provider` must be `amazon`, `facebook`, `github`, `gitlab`,"),
    ({"client_id": None}, "{", "`client_id` and `client_secret` of an app of your own are needed:"),
    ({"client_secret": "short"}, '"short"', "can be guessed"),
    (
        {"issuer_url": "https://x.example"},
        '"issuer_url"',
        "unknown field `issuer_url`; known are `client_id`, `client_secret`,",
    ),
    ({"idle_session_timeout": "0s"}, '"0s"', "`idle_session_timeout` must be more than 0s, not the text `0s`"),
    ({"provider": None}, "{", "the config of `oauth` needs `provider`"),
    ({"client_secret": None}, "{", "`client_id` and `client_secret` of an app of your own are needed:"),
    ({"client_id": "${nope}"}, "nope}", "unknown name `nope`"),
    ({"scopes": "email"}, '"email"', "`scopes` must be a list, not the text `email`"),
    ({"scopes": [""]}, "[", "`scopes`: `` is no scope (RFC 6749 3.3)"),
    ({"auth_id": "a" * 65}, '"aaaaaaaaaaaaaaaaaaaaaaa', "`auth_id` must be letters, digits, `-` and `_`, at most 64"),
    (
        {"authz_url_params": {"redirect_uri": "https://x.example"}},
        "{",
        "`authz_url_params`: `redirect_uri` belongs to the login itself and",
    ),
    (
        {"max_session_duration": "5 days"},
        '"5 days"',
        "`max_session_duration` must be a duration with its unit, such as",
    ),
    (
        {"userinfo_refresh_interval": "59s"},
        '"59s"',
        "`userinfo_refresh_interval` must be at least 1m, not the text `59s`",
    ),
    (
        {"auth_cookie_domain": "example"},
        '"example"',
        "`auth_cookie_domain`: `example` is not a domain such as `example.com`",
    ),
    (
        {"public_url": "app.example.com"},
        '"app.example.com"',
        "`public_url` must match `^(https?://[A-Za-z0-9.:\\[\\]-]+)?$`",
    ),
    ({"allow_cors_preflight": "yes"}, '"yes"', "`allow_cors_preflight` must be true or false, not the text `yes`"),
]


@pytest.mark.parametrize("change", GOOD, ids=shown)
def test_configs_that_load(change: dict[str, Any]) -> None:
    loads("oauth", config(change))


@pytest.mark.parametrize(("change", "at", "says"), BAD)
def test_configs_that_are_refused(change: dict[str, Any], at: str, says: str) -> None:
    problem = refuses("oauth", config(change), at, says)
    assert SECRET not in problem.message


def test_one_of_both_kinds_is_enough() -> None:
    oauth = ("oauth", {"provider": "google", "client_id": "c", "client_secret": SECRET})
    oidc = ("openid-connect", {"issuer_url": "https://x.example", "client_id": "c", "client_secret": SECRET})
    assert "a policy may have one" in problems_of(actions(oauth, oidc))[0].message
