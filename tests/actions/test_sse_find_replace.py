from __future__ import annotations

from typing import Any

import pytest

from tests.actions.configs import loads, refuses, shown
from tests.middleware.test_event_stream_phase import Streaming, answer, chunk, events, rule

pytestmark = pytest.mark.anyio

NAME = "sse-find-replace"


def edit(*replacements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": NAME, "config": {"replacements": list(replacements), **more}}


@pytest.mark.parametrize(
    ("replacements", "message", "made"),
    [
        ([{"from": "a", "to": "b"}], b"data: aa\n\n", b"data: bb\n\n"),
        ([{"from": "a"}], b"id: a\nevent: a\ndata: ab\n\n", b"id: a\nevent: a\ndata: b\n\n"),
        ([{"from": "a\nb", "to": "c"}], b"data: a\ndata: b\n\n", b"data: c\n\n"),
        ([{"from": ",", "to": "\n"}], b"data: a,b\r\n\r\n", b"data: a\r\ndata: b\r\n\r\n"),
        ([{"from": "a", "to": "b"}, {"from": "b", "to": "c"}], b"data: a\n\n", b"data: c\n\n"),
        ([{"field": "retry", "from": "1(.*)", "to": "5$1"}], b"data: 1\nretry: 100\n\n", b"data: 1\nretry: 500\n\n"),
        ([{"field": "retry", "from": ".*", "to": "5"}], b"data: 1\n\n", b"data: 1\n\n"),
        ([{"field": "${'da' + 'ta'}", "from": "a", "to": "${sse.id}"}], b"id: 7\ndata: a\n\n", b"id: 7\ndata: 7\n\n"),
        ([{"from": "a"}], b": a\n\n", b": a\n\n"),
        (
            [{"from": "a", "to": "x\ndata: y\n\nevent: z"}],
            b"data: a\n\n",
            b"data: x\ndata: data: y\ndata: \ndata: event: z\n\n",
        ),
    ],
)
async def test_a_message_is_changed_and_stays_one_message(replacements: Any, message: bytes, made: bytes) -> None:
    assert await answer(Streaming(message), rule(edit(*replacements))) == made


async def test_across_messages_the_result_is_there_for_later_messages() -> None:
    found = "actions.ngrok.sse_find_replace.replacements[0].matched_content"
    app = Streaming(events(chunk("12"), chunk("34"), chunk(" x"), "[DONE]"))
    replace = rule(edit({"from": "12+34", "to": "#"}, across_messages=16))
    deny = rule({"type": "deny"}, when=["sse.data == '[DONE]'", f"{found} == '1234'"])
    got = await answer(app, replace, deny)
    assert b"denied" in got
    assert b"1234" not in got


GOOD: list[dict[str, Any]] = [
    {"replacements": [{"from": "a", "to": "b"}]},
    {"replacements": [{"field": "retry", "from": "1(.*)", "to": "5$1"}]},
    {"replacements": [{"field": "${'da' + 'ta'}", "from": "a", "to": "${sse.id}"}]},
    {"replacements": [{"from": "a+"}], "across_messages": 1},
    {"replacements": [{"from": "a+"}], "across_messages": 16_384},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"replacements": []}, "[]", "`replacements` must have 1 or more entries"),
    ({"replacements": [{"from": "a", "field": "id"}]}, '"id"', "`data` or `retry`"),
    ({"replacements": [{"from": "a", "field": "retry"}], "across_messages": 5}, '"retry"', "expected `data`"),
    ({"replacements": [{"from": "a"}], "across_messages": 0}, "0", "`across_messages` must be at least 1, not 0"),
    (
        {"replacements": [{"from": "a"}], "across_messages": 99_999},
        "99999",
        "`across_messages` must be at most 16384, not 99999",
    ),
    (
        {"replacements": [{"from": "a", "to": "${secrets.get('a', 'b')}"}]},
        "${secrets.get('a'",
        "a secret must not be used here: this text is shown to clients or",
    ),
    ({}, "{}", "the config of `sse-find-replace` needs `replacements`"),
    ({"replacements": [{"to": "a"}]}, "{", "`replacements[0]` needs `from`"),
    (
        {"replacements": [{"from": "(?<a"}]},
        '"(?<a"',
        "this regular expression is not RE2: invalid named capture group: (?<a",
    ),
    ({"replacements": [{"from": "a", "to": "${sse.nope}"}]}, "sse.nope}", "unknown name `sse.nope`"),
    ({"replacements": [{"from": "a", "field": 5}]}, "5", "expected `data` or `retry`"),
    (
        {"replacements": [{"from": "a"}], "across_messages": "all"},
        '"all"',
        "`across_messages` must be a whole number, not the text `all`",
    ),
    (
        {"replacements": [{"from": "a"}], "across": 5},
        '"across"',
        "unknown field `across`; known are `replacements` and `across_messages`",
    ),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("sse-find-replace", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("sse-find-replace", config, at, says)


async def test_a_field_that_cannot_be_changed_ends_the_stream() -> None:
    got = await answer(Streaming(b"data: a\n\n"), rule(edit({"field": "${sse.data}", "from": "a"})))
    assert b"ERR_NGROK_3900" in got
