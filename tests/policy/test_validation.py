from __future__ import annotations

from textwrap import indent
from typing import Annotated, Any

import pytest
from pydantic import BeforeValidator, Field

from ai_gateway_mw.errors import Place, PolicyError
from ai_gateway_mw.policy import (
    ActionConfig,
    ActionSpec,
    ExpressionText,
    Phase,
    Policy,
    TemplateText,
    Text,
    load_policy,
    validated,
)
from tests.policy.configs import CONFIGS, Format, Gateway, Vars


def policy_with(config: str, type_: str = "gateway") -> Policy:
    """A policy of one action whose config starts in line 4, column 7."""
    return load_policy(f"on_http_request:\n  - type: {type_}\n    config:\n{indent(config, '      ')}\n")


def config_of(config: str, type_: str = "gateway") -> ActionConfig:
    policy = policy_with(config, type_)
    return validated(CONFIGS[type_], policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0], policy.document)


def gateway(config: str) -> Gateway:
    made = config_of(config)
    assert isinstance(made, Gateway)
    return made


def problems_of(config: str, type_: str = "gateway") -> list[str]:
    with pytest.raises(PolicyError) as raised:
        config_of(config, type_)
    assert raised.value.__cause__ is None
    return [
        f"{found.place.line}:{found.place.column} {found.headline}" for found in raised.value.problems if found.place
    ]


BAD = {
    "unknown field": ("capacty: 5", ["4:7 unknown field `capacty`; did you mean `capacity`?"]),
    "unknown field, nothing like it": (
        "providers: [{id: a, frobnicate: 1}]",
        ["4:27 unknown field `frobnicate`; known are `id`, `models`, `params` and `metadata`"],
    ),
    "unknown field below": (
        "providers:\n  - id: a\n    models:\n      - id: b\n        weigth: 5",
        ["8:15 unknown field `weigth`; did you mean `weight`?"],
    ),
    "unknown field in a union": (
        "providers: [{id: a, params: [{nam: x}]}]",
        ["4:37 unknown field `nam`; did you mean `name`?"],
    ),
    "missing": ("providers: [{models: []}]", ["4:19 `providers[0]` needs `id`"]),
    "missing under another name": ("providers: [{idd: a}]", ["4:20 unknown field `idd`; did you mean `id`?"]),
    "missing in a union": ("providers: [{id: a, params: [{}]}]", ["4:36 `providers[0].params[0]` needs `name`"]),
    "literal": (
        "on_error: hlat",
        ["4:17 `on_error` must be `halt` or `continue`, not the text `hlat`; did you mean `halt`?"],
    ),
    "literal of another type": ("on_error: true", ["4:17 `on_error` must be `halt` or `continue`, not true"]),
    "enum": (
        "format: antropic",
        ["4:15 `format` must be `openai` or `anthropic`, not the text `antropic`; did you mean `anthropic`?"],
    ),
    "enum in another case": (
        "format: OpenAI",
        ["4:15 `format` must be `openai` or `anthropic`, not the text `OpenAI`; did you mean `openai`?"],
    ),
    "bool from no": ("enforce: no", ["4:16 `enforce` must be true or false, not the text `no`"]),
    "bool from text": ("enforce: 'false'", ["4:16 `enforce` must be true or false, not the text `false`"]),
    "bool from a number": ("enforce: 0", ["4:16 `enforce` must be true or false, not 0"]),
    "int from text": ("capacity: '5'", ["4:17 `capacity` must be a whole number, not the text `5`"]),
    "int from octal text": ("capacity: 012", ["4:17 `capacity` must be a whole number, not the text `012`"]),
    "int from a time": ("capacity: 1:30", ["4:17 `capacity` must be a whole number, not the text `1:30`"]),
    "int from a fraction": ("capacity: 5.0", ["4:17 `capacity` must be a whole number, not 5.0"]),
    "int from a bool": ("capacity: true", ["4:17 `capacity` must be a whole number, not true"]),
    "int from nothing": ("capacity:", ["4:16 `capacity` must be a whole number, not nothing"]),
    "int too small": ("capacity: 0", ["4:17 `capacity` must be at least 1, not 0"]),
    "int too large": ("capacity: 11", ["4:17 `capacity` must be at most 10, not 11"]),
    "float from text": ("ratio: .inf", ["4:14 `ratio` must be a number, not the text `.inf`"]),
    "float too small": ("ratio: 0", ["4:14 `ratio` must be more than 0.0, not 0"]),
    "float too large": ("ratio: 1.5", ["4:14 `ratio` must be less than 1.0, not 1.5"]),
    "duration without unit": (
        "timeout: 30",
        ["4:16 `timeout` must be a duration with its unit, such as `30s`, `1m30s` or `250ms`, not 30"],
    ),
    "duration in days": (
        "timeout: 1d",
        ["4:16 `timeout` must be a duration with its unit, such as `30s`, `1m30s` or `250ms`, not the text `1d`"],
    ),
    "duration too short": ("window: 30s", ["4:15 `window` must be at least 1m, not the text `30s`"]),
    "duration too long": ("window: 2h", ["4:15 `window` must be at most 1h, not the text `2h`"]),
    "text from a number": ("note: 5", ["4:13 `note` must be text, not 5"]),
    "text from nothing": ("note:", ["4:12 `note` must be text, not nothing"]),
    "plain text from a number": ("label: 5", ["4:14 `label` must be text, not 5"]),
    "text too long": ("label: abcdefghi", ["4:14 `label` must have 8 or fewer characters"]),
    "text too short": (
        "providers: [{id: a, models: [{id: ''}]}]",
        ["4:41 `providers[0].models[0].id` must have 1 or more characters"],
    ),
    "text of another form": ("label: ABC", ["4:14 `label` must match `^[a-z]*$`"]),
    "template from a list": ("headers: {x-a: [1]}", ["4:22 `headers.x-a` must be text, not a list"]),
    "template from nothing": ("headers:\n  x-a:", ["5:13 `headers.x-a` must be text, not nothing"]),
    "expression from a bool": ("strategy: [true]", ["4:18 `strategy[0]` must be a CEL expression, not true"]),
    "list from text": ("strategy: ai.keys", ["4:17 `strategy` must be a list, not the text `ai.keys`"]),
    "list from a mapping": ("providers: {id: a}", ["4:18 `providers` must be a list, not a mapping"]),
    "mapping from a list": ("headers: [a]", ["4:16 `headers` must be a mapping, not a list"]),
    "mapping from text": ("providers: [openai]", ["4:19 `providers[0]` must be a mapping, not the text `openai`"]),
    "too many": ("headers: {a: a, b: b, c: c, d: d}", ["4:16 `headers` must have 3 or fewer entries"]),
    "union": ("choice: perhaps", ["4:15 `choice` must be true or false or a list, not the text `perhaps`"]),
    "union, inside": ("choice: [{name: 5}]", ["4:23 `choice[0].name` must be text, not 5"]),
    "union in a list": (
        "providers: [{id: a, params: [5]}]",
        ["4:36 `providers[0].params[0]` must be text or a mapping, not 5"],
    ),
    "what only pydantic knows": ("website: here", ["4:16 `website`: relative URL without a base"]),
    "what only pydantic says": ("website: 5", ["4:16 `website`: URL input should be a string or URL"]),
    "own validator": ("tags: [bad]", ["4:13 `tags`: `bad` is no tag"]),
    "own validator of all": ("label: noted", ["4:7 a label `noted` needs a `note`"]),
    "long text is cut": (f"enforce: {'x' * 50}", [f"4:16 `enforce` must be true or false, not the text `{'x' * 40}…`"]),
    "all at once": (
        "on_error: hlat\ncapacty: 5\nproviders:\n  - models: {}\n  - id: b\n    weight: 1\n",
        [
            "4:17 `on_error` must be `halt` or `continue`, not the text `hlat`; did you mean `halt`?",
            "5:7 unknown field `capacty`; did you mean `capacity`?",
            "7:11 `providers[0]` needs `id`",
            "7:19 `providers[0].models` must be a list, not an empty mapping",
            "9:11 unknown field `weight`; known are `id`, `models`, `params` and `metadata`",
        ],
    ),
}


@pytest.mark.parametrize(("config", "problems"), BAD.values(), ids=BAD.keys())
def test_problems_and_their_places(config: str, problems: list[str]) -> None:
    assert problems_of(config) == problems


def test_a_config_that_is_left_out_is_missed_at_the_action() -> None:
    policy = load_policy("on_http_request:\n  - type: set-vars\n")
    with pytest.raises(PolicyError) as raised:
        validated(Vars, policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0], policy.document)
    assert str(raised.value).split("\n")[0] == "<policy>:2:11: the config of `set-vars` needs `vars`"


def test_a_key_that_is_wrong_is_shown_itself() -> None:
    assert problems_of("vars: [{}]\nnames: {ab: 1, A1: 2}", "set-vars") == ["5:22 `names.A1` must match `^[a-z]+$`"]


def test_what_a_validator_rearranged_has_no_spelling() -> None:
    config = config_of("vars: [{}]\nprefix: [{a: 1.10}, {b: TRUE}, {c: x}]", "set-vars")
    assert isinstance(config, Vars)
    assert config.prefix == {"a": "1.1", "b": "true", "c": "x"}


def test_a_validator_that_makes_numbers_of_text_ends() -> None:
    class Config(ActionConfig):
        length: Annotated[TemplateText, BeforeValidator(len)]

    policy = load_policy("on_http_request: {type: x, config: {length: [1, 2]}}")
    config = validated(Config, policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0], policy.document)
    assert config.length == "2"


def test_too_few() -> None:
    assert problems_of("vars: []", "set-vars") == ["4:13 `vars` must have 1 or more entries"]


def test_what_is_wrong_is_never_without_a_problem() -> None:
    """An action whose problems are none would be left out, and the policy would load without it."""

    class Distinct(ActionConfig):
        names: frozenset[str] = Field(min_length=2)

    policy = policy_with("names: [a, a]")
    with pytest.raises(PolicyError) as caught:
        validated(Distinct, policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0], policy.document)
    assert [problem.message for problem in caught.value.problems] == ["`names` must have 2 or more entries"]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("vars: [a]", "4:14 `vars[0]` must be a mapping, not the text `a`"),
        ("vars: [a, {b: 1}]", "4:14 `vars[0]` must be a mapping, not the text `a`"),
    ],
)
def test_an_entry_that_is_wrong_is_there(config: str, problem: str) -> None:
    assert problems_of(config, "set-vars") == [problem]


def test_the_length_of_a_template_is_told_in_characters() -> None:
    class Config(ActionConfig):
        some: TemplateText = Field(min_length=1, max_length=3)

    for text, problem in (
        ("''", "`some` must have 1 or more characters"),
        ("abcd", "`some` must have 3 or fewer char"),
    ):
        policy = load_policy(f"on_http_request: {{type: x, config: {{some: {text}}}}}")
        with pytest.raises(PolicyError, match=problem):
            validated(Config, policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0], policy.document)


GOOD = """
on_error: continue
format: anthropic
enforce: false
capacity: 0x0A
ratio: 0.25
timeout: 1m30s
strategy: [ai.keys]
label: abc
tags: [b, a]
providers: [{id: a, models: [{id: b}], params: [x, {name: y}]}]
"""


def test_a_good_config() -> None:
    config = gateway(GOOD)
    assert (config.on_error, config.format, config.enforce) == ("continue", Format.ANTHROPIC, False)
    assert (config.capacity, config.ratio, config.timeout, config.window) == (10, 0.25, 90.0, 60.0)
    assert config.tags == {"a", "b"}
    assert config.providers[0].models[0].id == "b"
    assert type(config.label) is str
    assert type(config.strategy[0]) is ExpressionText


def test_a_config_cannot_be_changed() -> None:
    config: Any = gateway("capacity: 5")
    with pytest.raises(ValueError, match="frozen"):
        config.capacity = 6


@pytest.mark.parametrize(
    "spelling", ["true", "True", "1", "1.10", "0x10", "1e3", "-0", "+5", "2024-01-01", "no", "'1'"]
)
def test_a_template_is_taken_as_it_is_spelled(spelling: str) -> None:
    config = gateway(f"headers: {{x-a: {spelling}}}\nbody: {spelling}\n")
    assert (config.headers["x-a"], config.body) == (spelling.strip("'"), spelling.strip("'"))
    assert type(config.headers["x-a"]) is TemplateText


def test_a_template_that_was_a_number_knows_its_place() -> None:
    place = gateway("headers:\n  x-version: 1.10\n").headers["x-version"].place_of(2)
    assert (place.line, place.column) == (5, 22)


@pytest.mark.parametrize(("spelling", "value"), [("5", 5), ("five", "five"), ("1.5", "1.5"), ("true", "true")])
def test_a_union_takes_the_closest_member(spelling: str, value: object) -> None:
    either = gateway(f"either: {spelling}").either
    assert either == value


def test_texts_keep_their_places() -> None:
    config = gateway("strategy:\n  - ai.keys.filter(k, true)\nnote: |\n  first\n  second\n")
    places = [config.strategy[0].place_of(8), config.note.place_of(6)]
    assert [(place.line, place.column) for place in places] == [(5, 19), (8, 9)]


def test_any_value_stays_as_it_was_read() -> None:
    config = config_of("vars: [{a: 1}, {b: 1.10}, {c: [true, ~, {d: e}]}]", "set-vars")
    assert isinstance(config, Vars)
    assert config.vars == ({"a": 1}, {"b": 1.1}, {"c": [True, None, {"d": "e"}]})


def test_places_inside_an_embedded_policy_are_those_of_the_file() -> None:
    policy = load_policy("traffic_policy: |\n  on_http_request:\n    - type: gateway\n      config: {capacty: 5}\n")
    with pytest.raises(PolicyError) as raised:
        validated(Gateway, policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0], policy.document)
    assert str(raised.value).startswith("<policy>:4:16: unknown field `capacty`; did you mean `capacity`?")


def test_a_config_that_no_file_holds_is_shown_at_its_action() -> None:
    policy = load_policy("{}")
    spec = ActionSpec("gateway", {"capacty": 5, "headers": {"a": True}, "body": 5}, ("x",), Place("made", 3, 4))
    with pytest.raises(PolicyError) as raised:
        validated(Gateway, spec, policy.document)
    assert str(raised.value) == "made:3:4: unknown field `capacty`; did you mean `capacity`?"


def test_a_config_made_by_hand_takes_scalars_as_templates() -> None:
    config = Gateway(headers={"a": True, "b": 1.5, "c": "x"}, note="y")
    assert config.headers == {"a": "true", "b": "1.5", "c": "x"}
    assert type(config.note) is Text
    assert Gateway.model_validate_json(config.model_dump_json(exclude_unset=True)) == config
