from __future__ import annotations

import math
from typing import Any

import pytest

from ai_gateway_mw.cel import CelType, Duration, Timestamp, UInt
from ai_gateway_mw.compiler import compile_policy
from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import Phase, load_policy
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from tests.actions.configs import loads, refuses, shown
from tests.asgi import http_scope, request
from tests.gateways import actions, gateway, secret_store

pytestmark = pytest.mark.anyio


async def nothing() -> Any:
    return {"type": "http.disconnect"}


async def variables(written: Any) -> dict[str, Any]:
    policy = actions(("set-vars", {"vars": written}))
    program, _ = compile_policy(
        load_policy(policy), Stores(Settings(), secrets=secret_store({"v": {"n": "s3cret-value"}}))
    )
    ctx = Context(http_scope("POST", "/v1/x?q=1"), nothing)
    assert await program.run(Phase.ON_HTTP_REQUEST, ctx) is None
    return ctx.vars


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ([], {}),
        ([{"a": "text"}], {"a": "text"}),
        ([{"a": 1}, {"b": 1.5}, {"c": True}, {"d": None}], {"a": 1, "b": 1.5, "c": True, "d": None}),
        ([{"a": [1, "x", {"y": None}]}], {"a": [1, "x", {"y": None}]}),
        ([{"a": "${1 + 1}"}], {"a": 2}),
        ([{"a": "${1 == 1}"}], {"a": True}),
        ([{"a": "$<[1, 2]>"}], {"a": [1, 2]}),
        ([{"a": "${uint(1.5) + 10u}"}], {"a": UInt(11)}),
        ([{"a": "${null}"}], {"a": None}),
        ([{"a": " ${1}"}], {"a": " 1"}),
        ([{"a": "${1}${2}"}], {"a": "12"}),
        ([{"a": {"b": ["${req.method}", "m: ${req.method}"]}}], {"a": {"b": ["POST", "m: POST"]}}),
        ([{"a": "1"}, {"b": "${vars.a}2"}, {"a": "${vars.b}3"}], {"a": "123", "b": "12"}),
        ([{"a": "${getQueryParam('q')}"}], {"a": ["1"]}),
        ({"a": 1, "b": "${vars.a + 1}"}, {"a": 1, "b": 2}),
        ([{"_x9": "$${not}"}], {"_x9": "${not}"}),
        ([{"a": "${secrets.get('v', 'n')}"}], {"a": "s3cret-value"}),
        ([{"a": 1}, {"all": "${vars}"}], {"a": 1, "all": {"a": 1}}),
        ([{"in": 1}, {"b": "${vars['in']}"}], {"in": 1, "b": 1}),
    ],
    ids=str,
)  # fmt: skip
async def test_what_is_set(written: Any, made: dict[str, Any]) -> None:
    assert await variables(written) == made


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("uint(1.5) + 10u", UInt(11)),
        ("timestamp('2024-06-24T15:30:00Z')", Timestamp(1_719_243_000_000_000_000)),
        ("duration('90s')", Duration(90_000_000_000)),
        ("b'abc'", b"abc"),
        ("double('NaN')", math.nan),
        ("type(1)", CelType("int")),
    ],
)
async def test_what_is_exactly_one_interpolation_keeps_its_type(expression: str, value: Any) -> None:
    text = f"${{{expression}}}"
    made = await variables([{"a": text}, {"b": [text, {"c": text}]}])
    for kept in (made["a"], made["b"][0], made["b"][1]["c"]):
        assert type(kept) is type(value)
        assert kept == value or value != value


async def test_a_time_can_be_counted_with_later() -> None:
    written = [
        {"began": "${timestamp('2024-06-24T15:30:00Z')}"},
        {"most": "${duration('90s')}"},
        {"end": "${vars.began + vars.most}"},
        {"year": "${vars.end.getFullYear()}"},
    ]
    made = await variables(written)
    assert made["year"] == 2024
    assert str(made["end"]) == "2024-06-24T15:31:30Z"


async def test_header_fields_are_still_found_in_any_case() -> None:
    kept = ("set-vars", {"vars": [{"fields": "${req.headers}"}]})
    policy = actions(kept, ("custom-response", {"body": "${vars.fields['X-A']}"}))
    response = await request(gateway(policy).app, path="/v1/models", headers={"x-a": "1"})
    assert response.text == '["1"]'


async def test_what_had_happened_stays_what_it_was() -> None:
    policy = actions(
        ("set-vars", {"vars": [{"before": "${actions}"}]}),
        ("remove-headers", {"headers": ["x-a"]}),
        ("custom-response", {"body": "${vars.before} ${size(actions.ngrok)}"}),
    )
    assert (await request(gateway(policy).app, path="/v1/models")).text == '{"ngrok":{}} 1'


GOOD: list[dict[str, Any]] = [
    {"vars": []},
    {"vars": [{"a": 1}, {"b": 1.5}, {"c": True}, {"d": None}, {"a": [1, {"x": "y"}]}]},
    {"vars": [{"a": "1"}, {"b": "${vars.a}2"}]},
    {"vars": [{"_x9": "$${not}"}, {"key": "${secrets.get('v', 'n')}"}]},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `set-vars` needs `vars`"),
    ({"vars": "a"}, '"a"', "`vars` must be a list, not the text `a`"),
    ({"vars": None}, "null", "`vars` must be a list, not nothing"),
    ({"vars": ["a"]}, '"a"', "`vars[0]` must be a mapping, not the text `a`"),
    ({"vars": [{}]}, "{}", "`vars[0]` must be a map with exactly one name"),
    ({"vars": [{"a": 1, "b": 2}]}, "{", "`vars[0]` must be a map with exactly one name"),
    ({"vars": [{"a-b": 1}]}, "{", "`vars[0]`: `a-b` cannot be a variable's name: use letters, digits and"),
    ({"vars": [{"1a": 1}]}, "{", "`vars[0]`: `1a` cannot be a variable's name: use letters, digits and"),
    ({"vars": [{"é": 1}]}, "{", "`vars[0]`: `é` cannot be a variable's name: use letters, digits and"),
    ({"vars": [{"a.b": 1}]}, "{", "`vars[0]`: `a.b` cannot be a variable's name: use letters, digits and"),
    ({"vars": [{"a": "${nope}"}]}, "nope}", "unknown name `nope`"),
    ({"vars": [{"a": ["${1 +}"]}]}, "}", "the expression ends too early; expected a value"),
    ({"vars": [{"a": "${"}]}, "${", "`${` is never closed with `}`"),
    (
        {"vars": [{"a": "${res.status_code}"}]},
        "res.status_code}",
        "unknown name `res.status_code` (`res.*` is known in",
    ),
    ({"vars": [{"a": "${1 + 'a'}"}]}, "+", "int and string cannot be added with `+`"),
    ({"vars": [{"a": 1}, {"b": 2, "c": 3}]}, "{", "`vars[1]` must be a map with exactly one name"),
    ({"vars": [{"a": 1}], "enforce": True}, '"enforce"', "unknown field `enforce`; known are `vars`"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("set-vars", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("set-vars", config, at, says)


async def test_a_variable_that_holds_all_the_others_is_no_circle() -> None:
    policy = actions(
        ("set-vars", {"vars": [{"a": "1"}, {"all": "${vars}"}, {"more": {"x": "${vars}"}}]}),
        ("custom-response", {"body": "${vars}"}),
    )
    response = await request(gateway(policy).app, path="/v1/models")
    assert response.json() == {"a": "1", "all": {"a": "1"}, "more": {"x": {"a": "1", "all": {"a": "1"}}}}


async def test_a_value_that_cannot_be_had_refuses() -> None:
    policy = actions(("set-vars", {"vars": [{"a": "${req.headers['nope'][0]}"}]}), ("custom-response", {"body": "in"}))
    assert (await request(gateway(policy).app, path="/v1/models")).status == 403


async def test_one_request_does_not_see_the_variables_of_another() -> None:
    policy = actions(("custom-response", {"body": "${has(vars.a)}"}), expressions=["req.method == 'GET'"])
    policy["on_http_request"].insert(
        0, {"expressions": ["req.method == 'POST'"], "actions": [{"type": "set-vars", "config": {"vars": [{"a": 1}]}}]}
    )  # fmt: skip
    app = gateway(policy).app
    await request(app, "POST", "/v1/models")
    assert (await request(app, "GET", "/v1/models")).text == "false"


def test_a_map_in_the_place_of_the_list_is_taken_with_a_warning() -> None:
    policy = "on_http_request:\n  - type: set-vars\n    config:\n      vars:\n        a: 1\n        b: ${vars.a}\n"
    (warning,) = gateway(policy).warnings
    assert warning.headline == "`vars` is a list of maps of one name each; this map is taken for one, in its order"
    assert (warning.place.line, warning.place.column) == (5, 9)  # type: ignore[union-attr]
    assert gateway(policy.replace("  a", "  - a").replace("  b", "  - b")).warnings == ()


@pytest.mark.parametrize(
    ("value", "warned"),
    [
        ("json.decode(actions.ngrok.http_request.res.body).tier.value", True),
        ("json.decode(getReqHeader('x-plan')[0])['name']", True),
        ("json.decode(a) and json.decode(b)", False),
        ("json.decode", False),
    ],
)
def test_a_value_whose_interpolation_was_forgotten_is_warned_of(value: str, warned: bool) -> None:
    made = gateway(actions(("set-vars", {"vars": [{"tier": value}]})))
    assert [each.message for each in made.warnings] == (
        ["this is plain text; to have its value, write it within `${ }`"] if warned else []
    )
