"""Replacements across messages: whatever the pieces, the text comes out as if it had been in one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.streams import EventMessage, Windows, deltas
from ai_gateway_mw.texts import PRESETS, Replacer, expander, replaced
from tests.fake_upstream.anthropic_bodies import message_events
from tests.fake_upstream.gemini_bodies import content_events
from tests.fake_upstream.openai_bodies import chat_events, completion_events, response_events

Events = Callable[[str, Sequence[str]], list[bytes]]
DIALECTS: dict[str, Events] = {
    "chat": chat_events,
    "completions": completion_events,
    "responses": response_events,
    "messages": message_events,
    "gemini": content_events,
}
SSN = Replacer(r"\b\d{3}-\d{2}-\d{4}\b", expander("[ssn]"), reach=64)


def through(events: Sequence[bytes], *replacers: Replacer) -> list[list[bytes]]:
    """What goes on after each message, and at the end."""
    windows = Windows()
    return [windows.take(EventMessage(event), replacers) for event in events] + [windows.flush()]


def flat(steps: Sequence[Sequence[bytes]]) -> list[bytes]:
    return [event for step in steps for event in step]


def text_of(events: Sequence[bytes]) -> str:
    return "".join(delta.text for event in events for delta in deltas(EventMessage(event).json))


def chat(*texts: str, index: int = 0) -> list[bytes]:
    bodies = [{"choices": [{"index": index, "delta": {"content": text}}]} for text in texts]
    return [b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies]


FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("events", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("words", [["it is 123-", "45-", "6789", " then"], ["123-45-6789"], list("x 123-45-6789 y")])
def test_a_match_may_lie_in_several_messages(events: Events, words: list[str]) -> None:
    sent = events("m", words)
    got = flat(through(sent, SSN))
    assert text_of(got) == "".join(words).replace("123-45-6789", "[ssn]")
    assert len(got) == len(sent)
    assert b"6789" not in b"".join(got)
    assert [EventMessage(event).get("event") for event in got] == [EventMessage(event).get("event") for event in sent]


@pytest.mark.parametrize("events", DIALECTS.values(), ids=DIALECTS)
def test_what_does_not_match_passes_byte_for_byte(events: Events) -> None:
    sent = events("m", ["call 123-", "4 or ", "12-34 ", "\u00e9", ""])
    assert flat(through(sent, SSN)) == sent


def test_text_waits_only_as_long_as_it_may_become_a_match() -> None:
    sent = chat("hello ", "12", "3-", "4x ", "done")
    assert through(sent, SSN) == [[sent[0]], [], [], sent[1:4], [sent[4]], []]


def test_nothing_waits_beyond_the_end_of_its_choice_or_of_the_stream() -> None:
    sent = [*chat("12"), FINISH, DONE]
    assert through(sent, SSN) == [[], sent[:2], [DONE], []]
    assert through(chat("12"), SSN) == [[], chat("12")]


def test_an_error_lets_everything_before_it_go_first() -> None:
    sent = [*chat("12"), b'data: {"error":{"message":"m"}}\n\n']
    assert through(sent, SSN)[1] == sent


def test_choices_are_texts_of_their_own_and_events_keep_their_order() -> None:
    sent = [*chat("123-", index=0), *chat("45-6789", index=1), *chat("45-6789 ", index=0), *chat(" ", index=1)]
    got = flat(through(sent, SSN))
    assert text_of(got) == "[ssn]" + "45-6789" + " " + " "
    assert [EventMessage(event).json["choices"][0]["index"] for event in got] == [0, 1, 0, 1]


def test_another_kind_of_text_of_the_same_choice_ends_the_one_before() -> None:
    tool = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}\n\n'
    assert through([*chat("12"), tool], SSN)[1] == [*chat("12"), tool]


def test_comments_are_not_kept_waiting() -> None:
    assert through([*chat("12"), b": ping\n\n"], SSN)[1] == [b": ping\n\n"]


def test_no_more_than_the_window_is_held_back() -> None:
    digits = Replacer(r"\d+x", expander("#"), reach=8)
    sent = chat("1234", "5678", "9012", "x")
    steps = through(sent, digits)
    assert [len(step) for step in steps] == [0, 0, 1, 3, 0]
    assert text_of(flat(steps)) == "1234#"


def test_a_pattern_without_known_beginnings_holds_back_the_whole_window() -> None:
    quoted = Replacer(r"\Qa.b\E", expander("#"), reach=4)
    assert text_of(flat(through(chat("xxa", ".", "b", "yyyyyy"), quoted))) == "xx#yyyyyy"


def test_log_probabilities_do_not_tell_what_was_taken_out() -> None:
    body = {
        "choices": [{"index": 0, "delta": {"content": "123-45-6789 "}, "logprobs": {"content": [{"token": "123"}]}}]
    }
    (got,) = flat(through([b"data: " + json.dumps(body).encode() + b"\n\n"], SSN))
    assert EventMessage(got).json["choices"][0] == {"index": 0, "delta": {"content": "[ssn] "}, "logprobs": None}


def test_replacements_follow_each_other() -> None:
    first, second = Replacer("cat", expander("dog"), reach=9), Replacer("dogs", expander("pets"), reach=9)
    assert text_of(flat(through(chat("c", "a", "t", "s", " and dogs"), first, second))) == "pets and pets"


def test_a_message_that_no_rule_wants_changed_keeps_its_text() -> None:
    windows = Windows()
    sent = chat("123-", "45-6789", " 123-45-6789 ")
    got = windows.take(EventMessage(sent[0]), [SSN]) + windows.take(EventMessage(sent[1]), [])
    got += windows.take(EventMessage(sent[2]), [SSN]) + windows.flush()
    assert text_of(got) == "123-45-6789 [ssn] "


_WORDS = st.lists(st.text(alphabet="123-456789 ab@.c\u00e9\U0001f600", max_size=7), max_size=12)
_SECRETS = st.sampled_from(["123-45-6789", "me@example.com", "4111 1111 1111 1111", "", "x"])


@given(st.sampled_from(sorted(DIALECTS)), _WORDS, _WORDS, _SECRETS, st.data())
def test_any_pieces_give_what_the_whole_would(
    dialect: str, before: list[str], after: list[str], secret: str, data: st.DataObject
) -> None:
    text = " ".join(["".join(before), secret, "".join(after)])
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=10)))
    words = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    replacers = [
        Replacer(PRESETS[name].pattern, _checked(name), index=number, reach=8192)
        for number, name in enumerate(("email", "card", "us-ssn"))
    ]
    sent = DIALECTS[dialect]("m", words)
    got = flat(through(sent, *replacers))
    whole = text.encode()
    for replacer in replacers:
        whole, _ = replaced(whole, replacer)
    assert text_of(got).encode() == whole
    assert len(got) == len(sent)


def _checked(name: str) -> Any:
    def expand(match: Any) -> bytes | None:
        return f"<{name}>".encode() if PRESETS[name].check(match.group()) else None

    return expand
