from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware, PolicyError
from ai_gateway_mw.actions.restrict_ips import RestrictIPs
from ai_gateway_mw.policy import policy_schema
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import Host, actions, gateway, problems_of, request_log, shadow_log

pytestmark = pytest.mark.anyio

ANYWHERE = ["0.0.0.0/0", "::/0"]
TELLS = ("custom-response", {"body": "${actions.ngrok.restrict_ips.action} ${actions.ngrok.restrict_ips.matched_cidr}"})


async def ask(config: dict[str, Any], peer: str | None = "127.0.0.1", fields: Any = (), **settings: Any) -> Response:
    app = gateway(actions(("restrict-ips", config), TELLS), **settings).app
    return await request(app, "GET", "/v1/models", client=(peer, 1) if peer else None, headers=fields)


@pytest.mark.parametrize(
    ("config", "peer", "tells"),
    [
        ({"allow": ["127.0.0.1/32"]}, "127.0.0.1", "allow 127.0.0.1/32"),
        ({"allow": ["10.0.0.0/8"]}, "10.255.255.255", "allow 10.0.0.0/8"),
        ({"allow": ["10.0.0.0/8"]}, "11.0.0.0", None),
        ({"allow": ["10.0.0.0/8"]}, "9.255.255.255", None),
        ({"allow": ["10.0.0.7/8"]}, "10.1.1.1", "allow 10.0.0.0/8"),
        ({"allow": ["192.0.2.0/24", "10.0.0.0/8"]}, "10.0.0.1", "allow 10.0.0.0/8"),
        ({"allow": ["10.0.0.0/8"]}, "::ffff:10.0.0.1", "allow 10.0.0.0/8"),
        ({"allow": ["::ffff:10.0.0.0/104"]}, "10.0.0.1", "allow 10.0.0.0/8"),
        ({"allow": ["2001:db8::/32"]}, "2001:db8::1", "allow 2001:db8::/32"),
        ({"allow": ["::/0"]}, "10.0.0.1", None),
        ({"allow": ["0.0.0.0/0"]}, "2001:db8::1", None),
        ({"allow": ANYWHERE, "deny": ["10.0.0.0/8"]}, "10.0.0.1", None),
        ({"allow": ANYWHERE, "deny": ["10.0.0.0/8"]}, "::ffff:10.0.0.1", None),
        ({"allow": ANYWHERE, "deny": ["10.0.0.0/8"]}, "11.0.0.1", "allow 0.0.0.0/0"),
        ({"allow": ["10.0.0.1/32"], "deny": ["10.0.0.1/32"]}, "10.0.0.1", None),
        ({"allow": ANYWHERE}, None, None),
        ({"allow": ANYWHERE}, "testclient", None),
        ({"allow": ANYWHERE}, "fe80::1%eth0", None),
        ({"allow": ["${req.headers['x-range'][0]}"]}, "10.0.0.1", "allow 10.0.0.0/8"),
        ({"allow": [" 10.0.0.0/8 "]}, "10.0.0.1", "allow 10.0.0.0/8"),
        ({"enforce": False, "allow": ["10.0.0.0/8"]}, "11.0.0.1", "deny "),
        ({"enforce": False, "allow": ANYWHERE, "deny": ["10.0.0.0/8"]}, "10.0.0.1", "deny 10.0.0.0/8"),
    ],
)
async def test_who_is_let_in(config: dict[str, Any], peer: str | None, tells: str | None) -> None:
    response = await ask(config, peer, {"x-range": "10.0.0.0/8"})
    assert (response.status, response.text if tells else None) == (200 if tells else 403, tells)


GOOD: list[dict[str, Any]] = [
    {"allow": ["10.0.0.0/8"]},
    {"allow": ["0.0.0.0/0", "::/0"], "deny": ["192.0.2.0/24"]},
    {"allow": ["10.1.2.3/8", "fe80::/10", "::ffff:10.0.0.0/104"]},
    {"allow": [{"cidr": "10.0.0.0/8", "label": "office"}], "enforce": False},
    {"allow": ["${req.headers['x-range'][0]}"]},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "at least one `allow` range"),
    ({"allow": []}, "{", "at least one `allow` range"),
    ({"deny": ["10.0.0.0/8"]}, "{", "at least one `allow` range"),
    ({"allow": ["10.0.0.1"]}, "10.0.0.1", "invalid range: `10.0.0.1` is not a CIDR range; write `10.0.0.1/32`"),
    ({"allow": ["::1"]}, "::1", "invalid range: `::1` is not a CIDR range; write `::1/128` for one"),
    ({"allow": ["10.0.0.0/33"]}, "10.0.0.0/33", "invalid range: `10.0.0.0/33` is not a CIDR range: it needs an"),
    ({"allow": ["10.0.0.0/255.0.0.0"]}, "10.0.0.0/255.0.0.0", "number of bits"),
    ({"allow": ["example.com/8"]}, "example.com/8", "example.com/8"),
    (
        {"allow": ["10.0.0.0/8"], "deny": ["junk"]},
        "junk",
        "invalid range: `junk` is not a CIDR range: it needs an address, `/`",
    ),
    ({"allow": "10.0.0.0/8"}, '"10.0.0.0/8"', "`allow` must be a list, not the text `10.0.0.0/8`"),
    ({"allow": [None]}, "null", "`allow[0]` must be text or a mapping, not nothing"),
    ({"allow": [["10.0.0.0/8"]]}, "[", "`allow[0]` must be text or a mapping, not a list"),
    ({"allow": ["${nope}"]}, "nope}", "unknown name `nope`"),
    ({"allow": ["10.0.0.0/8"], "enforce": "no"}, '"no"', "`enforce` must be true or false, not the text `no`"),
    ({"allow": ["10.0.0.0/8"], "denny": []}, '"denny"', "unknown field `denny`"),
    ({"ip_policies": ["ipp_1"]}, "ipp_1", "AI_GATEWAY_IP_POLICIES does not say which ranges it has"),
    ({"ip_policies": [7]}, "7", "`ip_policies[0]` must be text"),
    ({"allow": [{"label": "office"}]}, "{", "`allow[0]` needs `cidr`"),
    (
        {"allow": [{"cidr": "10.0.0.1"}]},
        "10.0.0.1",
        "invalid range: `10.0.0.1` is not a CIDR range; write `10.0.0.1/32`",
    ),
    ({"allow": [{"cidr": "10.0.0.0/8", "lable": "office"}]}, '"lable"', "unknown field `lable`; did you mean `label`?"),
    ({"allow": [{"cidr": "10.0.0.0/8", "label": 5}]}, "5", "`allow[0].label` must be text, not 5"),
    (
        {"allow": [{"cidr": "10.0.0.0/8", "label": "x" * 101}]},
        '"xxxxxxxxxxxxxxxxxxxxxxx',
        "must have 100 or fewer characters",
    ),
    ({"allow": ["10.0.0.0/-1"]}, "10.0.0.0/-1", "invalid range: `10.0.0.0/-1` is not a CIDR range: it needs an"),
    (
        {"allow": ["10.0.0.0/8"], "deny": [5]},
        "5",
        "invalid range: `5` is not a CIDR range: it needs an address, `/` and",
    ),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("restrict-ips", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("restrict-ips", config, at, says)


def test_every_range_that_is_wrong_is_told_with_its_place() -> None:
    text = "on_http_request: [{type: restrict-ips, config: {allow: [1.1.1.1, 10.0.0.0/8, 2.2.2.2], deny: [x]}}]"
    places = [problem.place.column for problem in problems_of(text) if problem.place]
    assert places == [text.index("1.1.1.1") + 1, text.index("2.2.2.2") + 1, text.index("x]") + 1]


async def test_a_refusal_names_the_address_and_nothing_else() -> None:
    response = await ask({"allow": ["10.0.0.0/8"]}, "192.0.2.1")
    assert response.json()["error"]["code"] == "ip_not_allowed"
    assert response.json()["error"]["message"] == "Address 192.0.2.1 is not allowed."


@pytest.mark.parametrize(
    ("peer", "fields", "status"),
    [
        pytest.param("10.0.0.1", {"x-forwarded-for": "192.0.2.7"}, 200, id="behind the proxy"),
        pytest.param("10.0.0.1", {"x-forwarded-for": "192.0.2.7, 6.6.6.6"}, 403, id="written by the client"),
        pytest.param("10.0.0.1", {"x-forwarded-for": "::ffff:192.0.2.7"}, 200, id="IPv4-mapped"),
        pytest.param("10.0.0.1", {"x-forwarded-for": "junk"}, 403, id="junk"),
        pytest.param("10.0.0.1", {"x-forwarded-for": ""}, 403, id="empty"),
        pytest.param("10.0.0.1", {"x-forwarded-for": "192.0.2.7, "}, 403, id="empty hop"),
        pytest.param("10.0.0.1", {"x-forwarded-for": "192.0.2.7", "forwarded": "for=192.0.2.7"}, 403, id="two fields"),
        pytest.param("10.0.0.1", {"forwarded": 'for="192.0.2.7:80"'}, 200, id="Forwarded"),
        pytest.param("10.0.0.1", {}, 403, id="the proxy itself"),
        pytest.param("6.6.6.6", {"x-forwarded-for": "192.0.2.7"}, 403, id="not through the proxy"),
        pytest.param("192.0.2.7", {"x-forwarded-for": "6.6.6.6"}, 200, id="a friend who lies about himself"),
    ],
)
async def test_only_a_trusted_proxy_is_believed(peer: str, fields: dict[str, str], status: int) -> None:
    response = await ask({"allow": ["192.0.2.0/24"]}, peer, fields, trusted_proxies="10.0.0.0/8")
    assert response.status == status


async def test_forwarded_fields_mean_nothing_without_a_trusted_proxy() -> None:
    assert (await ask({"allow": ["192.0.2.0/24"]}, "6.6.6.6", {"x-forwarded-for": "192.0.2.7"})).status == 403


async def test_removing_the_forwarded_field_first_does_not_make_everyone_the_proxy() -> None:
    policy = actions(("remove-headers", {"headers": ["x-forwarded-for"]}), ("restrict-ips", {"allow": ["10.0.0.0/8"]}))
    app = gateway(policy, trusted_proxies="10.0.0.0/8").app
    response = await request(app, path="/v1/models", client=("10.0.0.1", 1), headers={"x-forwarded-for": "6.6.6.6"})
    assert response.status == 403


async def test_a_template_that_gives_no_range_refuses() -> None:
    assert (await ask({"allow": ["${req.headers['x'][0]}"]}, fields={"x": "everyone"})).status == 403
    assert (await ask({"allow": [*ANYWHERE, "${req.headers['x'][0]}"]})).status == 403


async def test_a_secret_that_is_no_range_is_not_written_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    log = request_log(caplog)
    policy = actions(("restrict-ips", {"allow": ["${secrets.get('v', 'n')}"]}))
    await request(gateway(policy, vaults={"v": {"n": "sk-very-secret"}}).app, path="/v1/models")
    assert "[redacted]" in log()[0]["reason"]
    assert "sk-very-secret" not in caplog.text


@pytest.mark.parametrize(("phase", "status"), [("on_tcp_connect", 403), ("on_http_response", 403)])
async def test_it_refuses_in_every_phase(phase: str, status: int) -> None:
    policy = actions(("restrict-ips", {"allow": ["10.0.0.0/8"]}), phase=phase) | actions(("custom-response", {}))
    if phase == "on_tcp_connect":
        policy.pop("on_http_request")
    host = Host()
    response = await request(GatewayMiddleware(host, gateway=gateway(policy)), path="/v1/models")
    assert response.status == status
    assert response.json()["error"]["code"] == "ip_not_allowed"
    assert not host.scopes


@pytest.mark.parametrize(
    ("config", "peer", "why"),
    [
        ({"allow": ["10.0.0.0/8"]}, "192.0.2.1", "192.0.2.1: it is in no `allow` range"),
        ({"allow": ["10.0.0.0/8"]}, None, "an unknown address: it is in no `allow` range"),
        (
            {"allow": ANYWHERE, "deny": [{"cidr": "192.0.2.0/24", "label": "scanners"}]},
            "192.0.2.1",
            "192.0.2.1: `deny` 192.0.2.0/24 (scanners) at ",
        ),
    ],
)
async def test_a_dry_run_is_logged(
    caplog: pytest.LogCaptureFixture, config: dict[str, Any], peer: str | None, why: str
) -> None:
    log = shadow_log(caplog)
    response = await ask({"enforce": False, **config}, peer)
    (record,) = log()
    assert response.status == 200
    assert (record["request"], record["method"]) == (response.headers["x-request-id"], "GET")
    assert record["path"] == "/v1/models"
    assert record["reason"].startswith(why)


async def test_the_log_says_where_the_entry_stands(caplog: pytest.LogCaptureFixture) -> None:
    log = shadow_log(caplog)
    text = "on_http_request: [{type: restrict-ips, config: {enforce: false, allow: [0.0.0.0/0], deny: [127.0.0.0/8]}}]"
    await request(gateway(text).app, path="/v1/models", client=("127.0.0.1", 1))
    assert log()[-1]["reason"].endswith(f":1:{text.index('127.0.0.0/8') + 1}")


LABELLED = {"cidr": "10.0.0.0/8", "label": "office", "comment": "asked for by the office, 2026"}


@pytest.mark.parametrize(
    ("config", "tells"),
    [
        ({"allow": [LABELLED]}, "allow 10.0.0.0/8 office"),
        ({"allow": ["192.0.2.0/24", LABELLED]}, "allow 10.0.0.0/8 office"),
        ({"allow": ["10.0.0.0/8", LABELLED]}, "allow 10.0.0.0/8 "),
        ({"allow": [{"cidr": "10.0.0.0/8"}]}, "allow 10.0.0.0/8 "),
        ({"allow": [{"cidr": "${req.headers['x-range'][0]}", "label": "own"}]}, "allow 10.0.0.0/8 own"),
        ({"enforce": False, "allow": ANYWHERE, "deny": [LABELLED]}, "deny 10.0.0.0/8 office"),
        ({"enforce": False, "allow": ["192.0.2.0/24"]}, "deny  "),
    ],
)
async def test_an_entry_may_have_a_label(config: dict[str, Any], tells: str) -> None:
    assert (await ask_for_label(config, "10.0.0.1")).text == tells


async def ask_for_label(config: dict[str, Any], peer: str, **settings: Any) -> Response:
    result = "actions.ngrok.restrict_ips"
    body = f"${{{result}.action}} ${{{result}.matched_cidr}} ${{{result}.matched_label}}"
    app = gateway(actions(("restrict-ips", config), ("custom-response", {"body": body})), **settings).app
    return await request(app, path="/v1/models", client=(peer, 1), headers={"x-range": "10.0.0.0/8"})


def test_the_schema_describes_both_forms() -> None:
    definitions = policy_schema({"restrict-ips": RestrictIPs.Config})["$defs"]
    named, plain = {"$ref": "#/$defs/Entry"}, {"type": ["string", "number", "boolean"], "format": "template"}
    assert definitions["Config"]["properties"]["allow"]["items"] == {"anyOf": [plain, named]}
    assert all(field["description"] for field in definitions["Entry"]["properties"].values())
    assert definitions["Entry"]["required"] == ["cidr"]


# IP policies: ids that ngrok keeps in an account ---------------------------------------------------------------------

IP_POLICIES = "ipp_office=10.0.0.0/8 192.0.2.0/24 !10.9.0.0/16,ipp_guests=198.51.100.0/24,ipp_bad=!192.0.2.66/32"


@pytest.mark.parametrize(
    ("config", "peer", "tells"),
    [
        ({"ip_policies": ["ipp_office"]}, "10.1.1.1", "allow 10.0.0.0/8 ipp_office"),
        ({"ip_policies": ["ipp_office"]}, "::ffff:192.0.2.1", "allow 192.0.2.0/24 ipp_office"),
        ({"ip_policies": ["ipp_office"]}, "10.9.1.1", None),
        ({"ip_policies": ["ipp_office"]}, "198.51.100.1", None),
        ({"ip_policies": ["ipp_office", "ipp_guests"]}, "198.51.100.1", "allow 198.51.100.0/24 ipp_guests"),
        ({"ip_policies": ["ipp_office", "ipp_bad"]}, "192.0.2.66", None),
        ({"ip_policies": ["ipp_bad"], "allow": ANYWHERE}, "192.0.2.66", None),
        ({"ip_policies": ["ipp_bad"], "allow": ANYWHERE}, "192.0.2.67", "allow 0.0.0.0/0 "),
        ({"ip_policies": ["ipp_office"], "deny": ["10.1.0.0/16"]}, "10.1.1.1", None),
    ],
)
async def test_the_setting_says_which_ranges_an_ip_policy_has(
    config: dict[str, Any], peer: str, tells: str | None
) -> None:
    response = await ask_for_label(config, peer, ip_policies=IP_POLICIES)
    assert (response.status, response.text if tells else None) == (200 if tells else 403, tells)


async def test_ip_policies_stand_in_files_too(tmp_path: Path) -> None:
    file = tmp_path / "ip-policies.yaml"
    file.write_text("ip_policies:\n  ipp_home:\n    allow: [203.0.113.0/24]\n    deny: [203.0.113.9/32]\n")
    setting = f"{IP_POLICIES},{file}"
    config = {"ip_policies": ["ipp_home", "ipp_guests"]}
    statuses = [
        (await ask_for_label(config, peer, ip_policies=setting)).status
        for peer in ("203.0.113.1", "203.0.113.9", "198.51.100.1", "10.0.0.1")
    ]
    assert statuses == [200, 403, 200, 403]


def test_files_of_ip_policies_are_read_anew_when_a_policy_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "ip-policies.yaml"
    file.write_text("ip_policies: {}\n")
    policy = actions(("restrict-ips", {"ip_policies": ["ipp_home"]}))
    with pytest.raises(PolicyError, match="`ipp_home` is not known"):
        gateway(policy, ip_policies=str(file))
    file.write_text("ip_policies: {ipp_home: {allow: [10.0.0.0/8]}}\n")
    gate = gateway(policy, ip_policies=str(file))
    file.write_text("ip_policies: {}\n")
    with pytest.raises(PolicyError, match="`ipp_home` is not known"):
        gate.reload(gate.policy)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "ip_policies: {ipp_a: {allow: [10.0.0.1]}}",
            "{file}:1:30: `ip_policies.ipp_a.allow`: `10.0.0.1` is not",
        ),
        ("ip_policies: {ipp_a: {alow: [10.0.0.0/8]}}", "unknown field `alow`"),
        ("ip_policies: {ipp_office: {allow: [10.0.0.0/8]}}", "the IP policy `ipp_office` is there twice"),
        ("- ipp_a", "expected a mapping"),
        (None, "{file}: cannot be read"),
    ],
)
def test_files_of_ip_policies_that_are_refused(text: str | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "ip-policies.yaml"
    if text is not None:
        file.write_text(text)
    config = {"ip_policies": ["ipp_office"]}
    (problem,) = problems_of(actions(("restrict-ips", config)), ip_policies=f"{IP_POLICIES},{file}")
    assert says.replace("{file}", str(file)) in str(problem)


def test_what_is_wrong_with_the_ids_is_told_with_its_place() -> None:
    text = "on_http_request: [{type: restrict-ips, config: {ip_policies: [ipp_guests, ipp_ofice, ipp_x]}}]"
    first, second = problems_of(text, ip_policies=IP_POLICIES)
    assert (first.place.column, first.hint) == (text.index("ipp_ofice") + 1, "ipp_office")
    assert (second.place.column, second.hint) == (text.index("ipp_x") + 1, "")
    (nobody,) = problems_of(actions(("restrict-ips", {"ip_policies": ["ipp_bad"]})), ip_policies=IP_POLICIES)
    assert "at least one `allow` range" in str(nobody)
