"""Against a real provider on a real port, with a browser that is an HTTP client with cookies."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import Host, actions, gateway, problems_of, secret_store
from tests.openid_provider import CLIENT_ID, CLIENT_SECRET, STRANGER, OpenIDProvider
from tests.servers import serving

TELLS = ("custom-response", {"body": "${actions.ngrok.oidc}"})
VAULTS = {"idp": {"secret": CLIENT_SECRET}}
OUR_CODES = re.compile(r"login_[a-z]+")


def config(issuer: str = "https://idp.example.com", **more: Any) -> dict[str, Any]:
    return {
        "issuer_url": issuer,
        "client_id": CLIENT_ID,
        "client_secret": "${secrets.get('idp', 'secret')}",
        **more,
    }


def gate(issuer: str, *then: Any, **more: Any) -> Gateway:
    policy = actions(("openid-connect", config(issuer, **more)), *(then or (TELLS,)))
    return Gateway.from_policy(policy, secrets=secret_store(VAULTS))


@pytest.fixture
def provider() -> Iterator[OpenIDProvider]:
    made = OpenIDProvider()
    with serving(made.app) as url:
        made.issuer = url
        yield made


class Site:
    """A gateway around an app, on a real port, and a browser that visits it."""

    def __init__(self, url: str, gateway: Gateway) -> None:
        self.url = url
        self.gateway = gateway
        self._browsers = ExitStack()
        self.browser = self.another_browser()

    def another_browser(self) -> httpx.Client:
        return self._browsers.enter_context(httpx.Client(trust_env=False, headers={"accept": "text/html"}))

    def close(self) -> None:
        self._browsers.close()

    def visit(self, path: str, **options: Any) -> httpx.Response:
        return self.browser.get(self.url + path, follow_redirects=True, **options)

    def step(self, path: str, **options: Any) -> httpx.Response:
        return self.browser.get(path if "://" in path else self.url + path, follow_redirects=False, **options)

    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self.browser.cookies.jar}


@pytest.fixture
def site(provider: OpenIDProvider, request: pytest.FixtureRequest) -> Iterator[Site]:
    made = gate(provider.issuer, **getattr(request, "param", {}))
    with serving(GatewayMiddleware(Host(), gateway=made, intercept="all")) as url:
        visited = Site(url, made)
        yield visited
        visited.close()


def test_a_person_signs_in_and_comes_back_to_where_they_were(site: Site, provider: OpenIDProvider) -> None:
    answer = site.visit("/reports/7?sort=date&q=a%20b")
    assert answer.status_code == 200
    assert str(answer.url) == f"{site.url}/reports/7?sort=date&q=a%20b"
    told = answer.json()
    identity = told["identity"]
    assert (identity["email"], identity["name"], identity["provider_user_id"]) == ("ada@example.com", "Ada", "user-1")
    assert re.fullmatch(r"idn_[0-9a-f]{32}", identity["id"])
    assert told["access_token"].startswith("access-")
    assert told["identity_token"].count(".") == 2
    assert told["error"] == {"code": "", "message": ""}
    asked = provider.authorizations[0]
    assert asked["scope"] == "openid email profile"
    assert asked["redirect_uri"] == f"{site.url}/ngrok/callback"
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    again = site.visit("/other").json()
    assert again["identity"] == identity
    assert (provider.count("discovery"), provider.count("token"), provider.count("jwks")) == (1, 1, 1)


def test_its_cookies_tell_nothing_and_are_kept_from_scripts(site: Site) -> None:
    first = site.step("/")
    assert first.status_code == 302
    assert first.headers["cache-control"] == "no-store"
    (cookie,) = first.headers.get_list("set-cookie")
    assert "; Path=/; HttpOnly; SameSite=Lax; Max-Age=600" in cookie
    assert "Secure" not in cookie  # on this machine only
    site.step(site.step(first.headers["location"]).headers["location"])
    cookies = site.cookies()
    assert list(cookies) == ["ngrok-oidc-session-0"]
    assert not any(text in json.dumps(cookies) for text in ("ada", "access-", "user-1"))


@pytest.mark.parametrize("host", ["app.example.com", "localhost.example.com", "127.0.0.1.example.com"])
@pytest.mark.anyio
async def test_elsewhere_they_travel_over_tls_only(host: str, provider: OpenIDProvider) -> None:
    made = gate(provider.issuer)
    async with made.lifespan():
        app = GatewayMiddleware(Host(), gateway=made, intercept="all")
        answer = await request(app, path="/", headers={"host": host})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-ngrok-oidc-login-")
    assert cookie.endswith("; Secure; Max-Age=600")
    assert "Domain" not in cookie


@pytest.mark.anyio
async def test_a_domain_may_share_them(provider: OpenIDProvider) -> None:
    made = gate(provider.issuer, auth_cookie_domain="example.com", public_url="https://app.example.com")
    async with made.lifespan():
        answer = await request(GatewayMiddleware(Host(), gateway=made, intercept="all"), path="/")
    assert answer.headers["set-cookie"].startswith("__Secure-ngrok-oidc-login-")
    assert "; Domain=example.com; HttpOnly" in answer.headers["set-cookie"]
    assert query_of(answer.headers["location"])["redirect_uri"] == "https://app.example.com/ngrok/callback"


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_the_app_behind_it_stays_closed(site: Site, provider: OpenIDProvider) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = site.browser.request(method, f"{site.url}/reports")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "login_required")
    answer = site.step("/data", headers={"accept": "application/json"})
    assert (answer.status_code, answer.headers["x-gateway-error"]) == (401, "login_required")
    assert provider.authorizations == []


def test_scripts_and_images_are_not_sent_away_and_leave_a_login_that_is_begun(site: Site) -> None:
    back = site.step(site.step("/page", headers={"sec-fetch-mode": "navigate"}).headers["location"])
    for mode in ["cors", "no-cors", "same-origin"] * 3:
        answer = site.step("/data", headers={"accept": "*/*", "sec-fetch-mode": mode})
        assert (answer.status_code, answer.headers["x-gateway-error"]) == (401, "login_required")
    assert site.step(back.headers["location"]).headers["location"] == "/page"


@pytest.mark.parametrize("site", [{"allow_cors_preflight": True}], indirect=True)
def test_preflight_may_be_let_through(site: Site) -> None:
    preflight = {"origin": "https://x.example", "access-control-request-method": "POST"}
    assert site.browser.request("OPTIONS", f"{site.url}/data", headers=preflight).status_code == 200
    assert site.browser.request("OPTIONS", f"{site.url}/data").status_code == 401
    assert site.browser.request("POST", f"{site.url}/data", headers=preflight).status_code == 401


# Logins that must not count ------------------------------------------------------------------------------------------


def callback_of(site: Site) -> str:
    """The URL with which the provider sends the browser back."""
    away = site.step("/secret")
    back = site.step(away.headers["location"])
    return back.headers["location"]


def failed(answer: httpx.Response, says: str) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "login_failed")
    assert says in answer.json()["error"]["message"]


def test_another_browser_cannot_finish_a_login(site: Site) -> None:
    """Or a person could be signed in to an attacker's account."""
    callback = callback_of(site)
    failed(site.another_browser().get(callback), "has not begun this login")
    assert site.step(callback).status_code == 302


def test_a_login_can_be_finished_once(site: Site) -> None:
    callback = callback_of(site)
    cookies = dict(site.browser.cookies)
    assert site.step(callback).status_code == 302
    failed(site.step(callback), "has not begun this login")
    replay = site.another_browser()
    replay.cookies.update(cookies)
    failed(replay.get(callback), "did not accept the code")


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s + "x", lambda s: "", lambda s: "é"])
def test_another_state_is_refused(site: Site, change: Any) -> None:
    parts = urlsplit(callback_of(site))
    query = query_of(parts.geturl())
    changed = httpx.URL(f"{site.url}{parts.path}", params=query | {"state": change(query["state"])})
    failed(site.step(str(changed)), "has not begun this login")


def test_a_code_of_another_login_is_refused(site: Site) -> None:
    mine, other = query_of(callback_of(site)), query_of(callback_of(site))
    url = httpx.URL(f"{site.url}/ngrok/callback", params={"state": mine["state"], "code": other["code"]})
    failed(site.step(str(url)), "did not accept the code")


def test_an_answer_of_another_issuer_is_refused(site: Site) -> None:
    failed(site.step(callback_of(site) + "&iss=https://evil.example"), "another provider")


@pytest.mark.parametrize(
    ("error", "says"), [("access_denied", "said access_denied"), ("<script>", "the provider refused")]
)
def test_what_the_provider_refuses_is_told(site: Site, provider: OpenIDProvider, error: str, says: str) -> None:
    provider.error = error
    failed(site.visit("/"), says)


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ({"claims": {"nonce": "another"}}, "another login"),
        ({"claims": {"nonce": None}}, "another login"),
        ({"claims": {"iss": "https://evil.example"}}, "issuer"),
        ({"claims": {"aud": "other-client"}}, "audience"),
        ({"claims": {"azp": "other-client"}}, "another client"),
        ({"claims": {"exp": 1_000}}, "expired"),
        ({"claims": {"sub": None}}, "for nobody"),
        ({"userinfo": {"sub": "user-2"}}, "two things"),
        ({"key": STRANGER}, "not signed"),
        ({"algorithm": "none", "key": None}, "not signed"),
        ({"algorithm": "HS256", "key": CLIENT_SECRET.encode()}, "not signed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_token_that_must_not_count(site: Site, provider: OpenIDProvider, behaviour: Any, says: str) -> None:
    for name, value in behaviour.items():
        setattr(provider, name, value)
    answer = site.visit("/")
    failed(answer, says)
    assert not any("session" in name for name in site.cookies())


def test_an_address_that_is_not_verified_is_not_told(site: Site, provider: OpenIDProvider) -> None:
    provider.userinfo["email_verified"] = False
    assert site.visit("/").json()["identity"]["email"] == ""


def test_while_the_provider_is_away_nobody_signs_in(site: Site, provider: OpenIDProvider) -> None:
    provider.down = True
    answer = site.visit("/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "login_unavailable")


def test_a_login_that_met_an_outage_can_be_finished_after_it(site: Site, provider: OpenIDProvider) -> None:
    back = site.step(site.step("/").headers["location"]).headers["location"]
    provider.down = True
    assert site.step(back).status_code == 503
    provider.down = False
    assert site.step(back).headers["location"] == "/"
    assert site.step("/").json()["identity"]["email"] == "ada@example.com"
    assert site.step(back).status_code == 403  # it is finished


def test_a_discovery_document_of_somebody_else_is_refused(site: Site, provider: OpenIDProvider) -> None:
    provider.issuer = "https://evil.example"
    assert site.visit("/").status_code == 503


# Login, logout, and where they lead ----------------------------------------------------------------------------------


def test_people_sign_out(site: Site, provider: OpenIDProvider) -> None:
    site.visit("/")
    answer = site.step("/ngrok/logout")
    assert (answer.status_code, answer.text, site.cookies()) == (200, "You are signed out.\n", {})
    assert site.step("/").status_code == 302


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/reports?x=1", "/reports?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example", "/"),
        ("/a\r\nset-cookie: x=y", "/"),
        ("", "/"),
        ("/" + "x" * 3_000, "/"),
    ],
)
def test_a_login_leads_to_this_host_only(site: Site, path: str, leads_to: str) -> None:
    url = str(httpx.URL(f"{site.url}/ngrok/login", params={"redirect_path": path}))
    away = site.step(url)
    back = site.step(site.step(away.headers["location"]).headers["location"])
    assert (back.status_code, back.headers["location"]) == (302, leads_to)
    signed_in = site.step(url)
    assert signed_in.headers["location"] == leads_to


def test_a_double_slash_is_no_way_out(site: Site) -> None:
    away = site.browser.get(f"{site.url}//evil.example/x", follow_redirects=False)
    if away.status_code == 302:
        back = site.step(site.step(away.headers["location"]).headers["location"])
        assert back.headers["location"] == "/"


def test_a_browser_may_begin_many_logins_but_not_keep_them(site: Site) -> None:
    callbacks = [callback_of(site) for _ in range(8)]
    assert len(site.cookies()) <= 6
    assert site.step(callbacks[-1]).status_code == 302


@pytest.mark.parametrize("site", [{"auth_id": "staff"}], indirect=True)
def test_logins_of_another_id_are_not_ours(site: Site) -> None:
    site.visit("/")
    assert list(site.cookies()) == ["ngrok-staff-session-0"]
    assert "identity" in site.step("/ngrok/logout?auth_id=others").text
    assert site.step("/ngrok/logout?auth_id=staff").text == "You are signed out.\n"


# Sessions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [lambda v: v[:-4] + "AAAA", lambda v: v[:20], lambda v: "", lambda v: "9~x", lambda v: "é"]
)
def test_a_session_that_was_tampered_with_is_none(site: Site, change: Any) -> None:
    site.visit("/")
    (name, value) = site.cookies().popitem()
    browser = site.another_browser()
    answer = browser.get(site.url, headers={"cookie": f"{name}={change(value)}".encode("latin-1")})
    assert answer.status_code == 302


def test_the_cookie_of_a_login_is_no_session(site: Site) -> None:
    site.step("/")
    (_, value) = site.cookies().popitem()
    answer = site.another_browser().get(site.url, headers={"cookie": f"ngrok-oidc-session-0={value}"})
    assert answer.status_code == 302


def test_another_secret_ends_all_sessions(site: Site) -> None:
    site.visit("/")
    cookies = "; ".join(f"{name}={value}" for name, value in site.cookies().items())
    VAULTS["idp"]["secret"] = "another-secret-of-the-client-99"
    try:
        site.gateway.stores.secrets.forget()
        assert site.another_browser().get(site.url, headers={"cookie": cookies}).status_code == 302
    finally:
        VAULTS["idp"]["secret"] = CLIENT_SECRET


@pytest.mark.parametrize(("padding", "pieces", "kept"), [(5_000, 3, True), (12_000, 1, False)])
def test_a_long_session_is_cut_into_pieces(
    site: Site, provider: OpenIDProvider, padding: int, pieces: int, kept: bool
) -> None:
    provider.padding = "x" * padding
    told = site.visit("/").json()
    assert len(site.cookies()) == pieces
    assert bool(told["access_token"]) is kept
    assert told["identity"]["email"] == "ada@example.com"


def test_an_access_token_is_refreshed_before_it_ends(site: Site, provider: OpenIDProvider) -> None:
    provider.lifetime = 20  # less than is left before a refresh
    first = site.visit("/").json()  # the visit itself refreshes
    second = site.visit("/").json()
    assert first["access_token"] != second["access_token"]
    assert first["identity"] == second["identity"]
    provider.refresh_tokens.clear()
    assert site.step("/").status_code == 302  # revoked: sign in again


def test_a_refresh_token_is_used_once_for_all_requests_of_a_page(site: Site, provider: OpenIDProvider) -> None:
    provider.lifetime = 20
    site.visit("/")
    cookies = "; ".join(f"{name}={value}" for name, value in site.cookies().items())
    provider.asked.clear()
    answers = [site.another_browser().get(site.url, headers={"cookie": cookies}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert provider.count("token") == 1


def test_a_session_goes_on_while_the_provider_is_away(site: Site, provider: OpenIDProvider) -> None:
    provider.lifetime = 20
    site.visit("/")
    provider.down = True
    assert site.step("/").status_code == 200


@pytest.mark.anyio
async def test_an_app_alone_answers_the_paths_of_logins() -> None:
    made = gateway(actions(("openid-connect", config()), TELLS), vaults=VAULTS)
    answer = await request(made.app, path="/ngrok/logout")
    assert (answer.status, answer.text) == (200, "You are signed out.\n")
    assert (await request(made.app, path="/elsewhere")).status == 404


@pytest.mark.anyio
async def test_an_sdk_without_a_session_is_refused() -> None:
    made = gateway(actions(("openid-connect", config()), TELLS), vaults=VAULTS)
    answer: Response = await request(made.app, "POST", "/v1/chat/completions", json={"model": "m"})
    assert (answer.status, answer.json()["error"]["code"]) == (401, "login_required")


def changed(change: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**config(), **change}.items() if value is not None}


GOOD: list[dict[str, Any]] = [
    {},
    {"idle_session_timeout": "1h"},
    {"idle_session_duration": "1h"},
    {"scopes": ["openid", "groups"], "auth_id": "team_1"},
    {"authz_url_params": {"prompt": "login"}, "max_session_duration": "24h"},
    {"userinfo_refresh_interval": "1m", "allow_cors_preflight": True},
    {"auth_cookie_domain": "example.com", "public_url": "http://localhost:8080"},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"client_id": None}, "{", "`client_id` and `client_secret` of an app of your own are needed:"),
    ({"client_secret": None}, "{", "`client_id` and `client_secret` of an app of your own are needed:"),
    ({"client_secret": "short"}, '"short"', "can be guessed"),
    (
        {"issuer_url": "http://idp.example.com"},
        '"http://idp.example.com"',
        "`issuer_url` must start with https:// (http:// only for this machine",
    ),
    ({"issuer_url": "idp.example.com"}, '"idp.example.com"', "must be a URL"),
    (
        {"issuer_url": "https://idp.example.com?x=1"},
        '"https://idp.example.com?x=1"',
        "`issuer_url`: an issuer has no query",
    ),
    ({"auth_id": "a b"}, '"a b"', "`auth_id` must be letters, digits, `-` and `_`, at most 64"),
    ({"scopes": ["a b"]}, "[", "`scopes`: `a b` is no scope (RFC 6749 3.3)"),
    ({"authz_url_params": {"state": "x"}}, "{", "cannot be set"),
    (
        {"auth_cookie_domain": "nodots"},
        '"nodots"',
        "`auth_cookie_domain`: `nodots` is not a domain such as `example.com`",
    ),
    (
        {"auth_cookie_domain": "x.com; Path=/"},
        '"x.com; Path=/"',
        "`auth_cookie_domain`: `x.com; Path=/` is not a domain such as",
    ),
    (
        {"public_url": "https://x.example.com/path"},
        '"https://x.example.com/path"',
        "`public_url` must match `^(https?://[A-Za-z0-9.:\\[\\]-]+)?$`",
    ),
    ({"max_session_duration": "0s"}, '"0s"', "`max_session_duration` must be more than 0s, not the text `0s`"),
    ({"userinfo_refresh_interval": "1s"}, '"1s"', "`userinfo_refresh_interval` must be at least 1m, not the text `1s`"),
    ({"provider": "google"}, '"provider"', "unknown field `provider`; known are `client_id`, `client_secret`,"),
    ({"issuer_url": None}, "{", "the config of `openid-connect` needs `issuer_url`"),
    (
        {"issuer_url": "https://idp.example.com/${req.method}"},
        '"https://idp.example.com',
        "`issuer_url` must be written out; it is no template",
    ),
    ({"scopes": [f"s{n}" for n in range(51)]}, "[", "`scopes` must have 50 or fewer entries"),
    ({"client_secret": "${nope}"}, "nope}", "unknown name `nope`"),
]


@pytest.mark.parametrize("change", GOOD, ids=shown)
def test_configs_that_load(change: dict[str, Any]) -> None:
    loads("openid-connect", changed(change))


@pytest.mark.parametrize(("change", "at", "says"), BAD)
def test_configs_that_are_refused(change: dict[str, Any], at: str, says: str) -> None:
    refuses("openid-connect", changed(change), at, says)


def test_a_policy_signs_people_in_at_one_place() -> None:
    problems = problems_of(actions(("openid-connect", config()), ("openid-connect", config())))
    assert "a policy may have one" in problems[0].message


def test_without_joserfc_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import ai_gateway_mw

    monkeypatch.setitem(sys.modules, "joserfc", None)
    for name in [
        name for name in sys.modules if name.startswith(("joserfc.", "ai_gateway_mw.jose", "ai_gateway_mw.login"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("jose", "login"):
        monkeypatch.delattr(ai_gateway_mw, name, raising=False)
    (problem,) = problems_of(actions(("openid-connect", config())))
    assert "pip install 'ai-gateway-mw[oauth]'" in problem.message
