from __future__ import annotations

import base64
from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import CHAT, CHAT_PATH, Host, Provider, actions, gateway, problems_of, shadow_log

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse"
VAULTS = {"people": {"ada": PASSWORD, "pair": f"grace:{PASSWORD}", "short": "seven..", "name": "alan"}}
TELLS = ("custom-response", {"body": "${actions.ngrok.basic_auth.credentials}"})
ADA = "ada:${secrets.get('people', 'ada')}"


def basic(pair: str | bytes, scheme: str = "Basic") -> dict[str, str]:
    raw = pair.encode() if isinstance(pair, str) else pair
    return {"authorization": f"{scheme} {base64.b64encode(raw).decode()}"}


async def ask(headers: Any, *credentials: Any, **config: Any) -> Response:
    action = ("basic-auth", {"credentials": list(credentials or (ADA,)), **config})
    return await request(gateway(actions(action, TELLS), vaults=VAULTS).app, path="/v1/models", headers=headers)


@pytest.mark.parametrize(
    ("credential", "pair"),
    [
        pytest.param(ADA, f"ada:{PASSWORD}", id="password from a secret"),
        pytest.param("ada:literal-password", "ada:literal-password", id="literal"),
        pytest.param("ada:with:colons:in", "ada:with:colons:in", id="the first colon splits"),
        pytest.param("${secrets.get('people', 'pair')}", f"grace:{PASSWORD}", id="the whole pair"),
        pytest.param("${'a' + 'b'}:password", "ab:password", id="name from an expression"),
        pytest.param("${'a'}:${'pass:word'}", "a:pass:word", id="both, with a colon in the password"),
        pytest.param("pre-${secrets.get('people', 'name')}:password", "pre-alan:password", id="a part of the name"),
        pytest.param("ada:${'pass'}word", "ada:password", id="a part of the password"),
        pytest.param({"username": "ada", "password": "${secrets.get('people', 'ada')}"}, f"ada:{PASSWORD}", id="map"),
        pytest.param("zoë:pässwörter", "zoë:pässwörter", id="UTF-8"),
        pytest.param("ada:" + "p" * 128, "ada:" + "p" * 128, id="the longest"),
    ],
)
async def test_who_knows_the_pair_is_let_in(credential: Any, pair: str) -> None:
    response = await ask(basic(pair), credential)
    assert response.status == 200
    assert response.json() == {"presented": True, "username": pair.partition(":")[0], "authorized": True}


@pytest.mark.parametrize("number", range(10))
async def test_each_of_ten_pairs_counts(number: int) -> None:
    pairs = [f"user{one}:password{one}" for one in range(10)]
    assert (await ask(basic(pairs[number]), *pairs)).status == 200
    assert (await ask(basic(f"user{number}:password{(number + 1) % 10}"), *pairs)).status == 401


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic "])
async def test_the_scheme_is_read_as_http_says(scheme: str) -> None:
    assert (await ask(basic(f"ada:{PASSWORD}", scheme))).status == 200


WRONG = [
    pytest.param({}, id="none"),
    pytest.param({"authorization": "Basic"}, id="scheme only"),
    pytest.param({"authorization": "Basic !!!"}, id="no base64"),
    pytest.param({"authorization": "Basic YTpi, Basic YTpi"}, id="two in one"),
    pytest.param(basic("ada"), id="no colon"),
    pytest.param(basic(":"), id="nothing twice"),
    pytest.param(basic(f":{PASSWORD}"), id="no name"),
    pytest.param(basic("ada:"), id="no password"),
    pytest.param(basic(f"bob:{PASSWORD}"), id="another name"),
    pytest.param(basic(f"ada:{PASSWORD} "), id="a blank more"),
    pytest.param(basic(f"ada:{PASSWORD[:-1]}"), id="a letter less"),
    pytest.param(basic(f"ADA:{PASSWORD}"), id="another case"),
    pytest.param(basic(f"ada:{PASSWORD}\n"), id="a control character"),
    pytest.param(basic(b"ada:\xff\xfe\xfd"), id="not UTF-8"),
    pytest.param(basic("ada:" + "x" * 20_000), id="long"),
    pytest.param(basic(f"ada:{PASSWORD}", "Bearer"), id="another scheme"),
]


@pytest.mark.parametrize("headers", WRONG)
async def test_everybody_else_is_refused_in_the_same_words(headers: dict[str, str]) -> None:
    response = await ask(headers)
    assert response.status == 401
    assert response.json() == {
        "error": {
            "message": "Invalid or missing credentials.",
            "type": "authentication_error",
            "param": None,
            "code": "invalid_credentials",
        }
    }
    assert response.headers["www-authenticate"] == 'Basic realm="ngrok", charset="UTF-8"'
    assert PASSWORD not in response.text


async def test_two_different_fields_are_ambiguous() -> None:
    fields = [("authorization", basic(f"ada:{PASSWORD}")["authorization"]), ("authorization", "Basic YTpi")]
    assert (await ask(fields)).status == 400


async def test_the_realm_is_quoted() -> None:
    response = await ask({}, realm='the "inner" \\ circle')
    assert response.headers["www-authenticate"].startswith('Basic realm="the \\"inner\\" \\\\ circle"')


@pytest.mark.parametrize(
    ("headers", "tells"),
    [
        ({}, {"presented": False, "username": "", "authorized": False}),
        (basic("eve:whatever"), {"presented": True, "username": "eve", "authorized": False}),
        (basic(f"ada:{PASSWORD}"), {"presented": True, "username": "ada", "authorized": True}),
    ],
)
async def test_what_is_not_enforced_is_told(headers: Any, tells: Any, caplog: pytest.LogCaptureFixture) -> None:
    log = shadow_log(caplog)
    response = await ask(headers, enforce=False)
    assert (response.status, response.json()) == (200, tells)
    assert [record["action"] for record in log()] == ([] if tells["authorized"] else ["basic-auth"])


@pytest.mark.parametrize(
    "broken", ["bob:${secrets.get('people', 'gone')}", "bob:${secrets.get('people', 'short')}", "${'no colon'}"]
)
async def test_a_pair_that_cannot_be_used_leaves_the_others(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    assert (await ask(basic(f"ada:{PASSWORD}"), broken, ADA)).status == 200
    assert (await ask(basic("bob:seven.."), broken, ADA)).status == 401
    assert "credential 1 cannot be used" in caplog.text
    assert "seven.." not in caplog.text


async def test_a_changed_secret_counts_at_once() -> None:
    people = {"ada": PASSWORD}
    gate = gateway(actions(("basic-auth", {"credentials": [ADA]}), TELLS), vaults={"people": people})
    people["ada"] = "another one"
    gate.stores.secrets.forget()
    assert (await request(gate.app, path="/v1/models", headers=basic(f"ada:{PASSWORD}"))).status == 401
    assert (await request(gate.app, path="/v1/models", headers=basic("ada:another one"))).status == 200


@pytest.mark.parametrize("forward", [True, False])
async def test_the_app_gets_the_field_unless_it_is_withheld(forward: bool) -> None:
    host = Host()
    policy = actions(("basic-auth", {"credentials": [ADA], "forward_authorization": forward}))
    app = GatewayMiddleware(host, gateway=gateway(policy, vaults=VAULTS), intercept="all")
    fields = basic(f"ada:{PASSWORD}")
    assert (await request(app, path="/private", headers=fields)).status == 200
    assert host.field(b"authorization") == ([fields["authorization"].encode()] if forward else [])


async def test_a_provider_never_sees_it() -> None:
    provider = Provider()
    configured = {"providers": [{"id": "openai", "api_keys": [{"value": "sk-operator"}]}]}
    policy = actions(("basic-auth", {"credentials": [ADA]}), ("ai-gateway", configured))
    gate = gateway(policy, vaults=VAULTS, provider=provider)
    response = await request(gate.app, "POST", CHAT_PATH, headers=basic(f"ada:{PASSWORD}"), json=CHAT)
    assert response.status == 200
    assert provider.request.headers["authorization"] == "Bearer sk-operator"


async def test_it_may_be_one_of_two_ways_in() -> None:
    """ngrok's idiom: by address or by password."""
    policy = {
        "on_http_request": [
            {"actions": [{"type": "restrict-ips", "config": {"enforce": False, "allow": ["10.0.0.0/8"]}}]},
            {
                "expressions": ["actions.ngrok.restrict_ips.action == 'deny'"],
                "actions": [{"type": "basic-auth", "config": {"enforce": False, "credentials": ["ada:password"]}}],
            },
            {
                "expressions": [
                    "actions.ngrok.restrict_ips.action == 'allow' || actions.ngrok.basic_auth.credentials.authorized"
                ],
                "actions": [{"type": "custom-response", "config": {"body": "in"}}],
            },
            {"actions": [{"type": "custom-response", "config": {"status_code": 401}}]},
        ]
    }
    app = gateway(policy).app
    for peer, headers, status in [
        ("10.0.0.1", {}, 200),
        ("10.0.0.1", basic("eve:whatever"), 200),
        ("11.0.0.1", basic("ada:password"), 200),
        ("11.0.0.1", basic("eve:whatever"), 401),
        ("11.0.0.1", {}, 401),
    ]:
        response = await request(app, path="/v1/models", client=(peer, 1), headers=headers)
        assert response.status == status, (peer, headers)


GOOD: list[dict[str, Any]] = [
    {"credentials": ["ada:password"]},
    {"credentials": ["ada:pass:word with a space"]},
    {"credentials": ["ada:" + "p" * 128] + [f"user-{n}:password" for n in range(9)]},
    {"credentials": [{"username": "ada", "password": "${secrets.get('v', 'n')}"}]},
    {"credentials": ["ada:${secrets.get('v', 'n')}", {"username": "bob", "password": "password"}]},
    {"credentials": ["ada:password"], "realm": "r" * 128, "enforce": False},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `basic-auth` needs `credentials`"),
    ({"credentials": []}, "[]", "`credentials` must have 1 or more entries"),
    ({"credentials": ["a:password"] * 11}, "[", "`credentials` must have 10 or fewer entries"),
    (
        {"credentials": ["no-colon"]},
        '"no-colon"',
        "a credential that cannot be used: there is no name before the first",
    ),
    (
        {"credentials": ["nopassword:"]},
        '"nopassword:"',
        "a credential that cannot be used: its password has fewer than 8 or",
    ),
    (
        {"credentials": [":password"]},
        '":password"',
        "a credential that cannot be used: there is no name before the first",
    ),
    (
        {"credentials": ["ada:1234567"]},
        '"ada:1234567"',
        "a credential that cannot be used: its password has fewer than 8 or",
    ),
    ({"credentials": ["ada:" + "p" * 129]}, '"ada:ppppppppppppppppppp', "more than 128"),
    ({"credentials": ["ada:pass\tword"]}, '"ada:pass\\tword"', "control character"),
    ({"credentials": ["${'ada'}password"]}, "\"${'ada'}password\"", "write the colon"),
    ({"credentials": ["${'a'}${'b'}"]}, "\"${'a'}${'b'}\"", "write the colon"),
    (
        {"credentials": [{"username": "a:b", "password": "password"}]},
        "{",
        "a credential that cannot be used: the name has a colon, which ends it",
    ),
    ({"credentials": [{"username": "ada"}]}, "{", "`credentials[0]` needs `password`"),
    ({"credentials": ["ada:${nope}"]}, "nope}", "unknown name `nope`"),
    (
        {"credentials": ["ada:password"], "realm": "r" * 129},
        '"rrrrrrrrrrrrrrrrrrrrrrr',
        "`realm` must have 128 or fewer characters",
    ),
    ({"credentials": ["ada:password"], "realm": "é"}, '"é"', "`realm` must be printable ASCII text"),
    ({"credentials": ["ada:password"], "realm": "a\nb"}, '"a\\nb"', "`realm` must be printable ASCII text"),
    ({"credentials": ["ada:password"], "enforce": "no"}, '"no"', "`enforce` must be true or false, not the text `no`"),
    ({"credentials": ["ada:password"], "relam": "x"}, '"relam"', "unknown field `relam`; did you mean `realm`?"),
    ({"credentials": "ada:password"}, '"ada:password"', "`credentials` must be a list, not the text `ada:password`"),
    ({"credentials": [5]}, "5", "a credential that cannot be used: there is no name before the first"),
    ({"credentials": ["ada:password"], "realm": 5}, "5", "`realm` must be text, not 5"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("basic-auth", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("basic-auth", config, at, says)


def test_it_runs_for_requests_only() -> None:
    (problem,) = problems_of(actions(("basic-auth", {"credentials": ["a:password"]}), phase="on_http_response"))
    assert "on_http_request" in problem.message
