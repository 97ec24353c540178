from __future__ import annotations

import json
from typing import Any

import pytest

from ai_gateway_mw.body import JSONBody
from ai_gateway_mw.errors import BadBody


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b' \r\n\t{ "a" : 1 , "b" : [1, {"c": null}] } \n',
        '{"ключ":"värde","emoji":"😀"}'.encode(),
        b'{"pair":"\\ud83d\\ude00","slash":"\\\\ud800","quote":"\\"}{"}',
        b'{"big":123456789012345678901234567890,"small":1e-7,"neg":-0.0}',
        b'{"model":"m","messages":[],"stream":true,"models":[]}',
        b'{"metadata":{"Model":"x","model":"y"}}',
        b'{"a":"' + b"[" * 500 + b'"}',
    ],
    ids=["empty", "spaces", "unicode", "escapes", "numbers", "decisive", "nested spellings", "brackets in text"],
)
def test_a_body_is_read_as_json_reads_it(raw: bytes) -> None:
    assert JSONBody(raw).value == json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b"", "expected `{`", id="nothing"),
        pytest.param(b"[]", "expected `{`", id="a list"),
        pytest.param(b'"model"', "expected `{`", id="text"),
        pytest.param(b"null", "expected `{`", id="null"),
        pytest.param(b"{", "member name", id="open"),
        pytest.param(b'{"a"}', "expected `:`", id="no value"),
        pytest.param(b'{"a":}', "not a JSON object", id="empty value"),
        pytest.param(b'{"a":1', "expected `,`", id="unfinished"),
        pytest.param(b'{"a":1,}', "member name", id="trailing comma"),
        pytest.param(b'{"a":1}{}', "text after the object", id="two objects"),
        pytest.param(b"{'a':1}", "member name", id="single quotes"),
        pytest.param(b'{a:1}', "member name", id="bare name"),
        pytest.param(b'{"a":1 /* c */}', "expected `,`", id="comment"),
        pytest.param(b'{"a":NaN}', "NaN is not JSON", id="NaN"),
        pytest.param(b'{"a":[Infinity]}', "Infinity is not JSON", id="Infinity"),
        pytest.param(b'{"a":-Infinity}', "-Infinity is not JSON", id="-Infinity"),
        pytest.param(b'{"a":"\n"}', "not a JSON object", id="line break in text"),
        pytest.param(b'{"a":01}', "expected `,`", id="leading zero"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", "not a JSON object", id="number of 5000 digits"),
        pytest.param(b"\xef\xbb\xbf{}", "expected `{`", id="byte order mark"),
        pytest.param('{"model":"m"}'.encode("utf-16"), "not UTF-8", id="UTF-16 with mark"),
        pytest.param('{"model":"m"}'.encode("utf-16-le"), "member name", id="UTF-16 without"),
        pytest.param('{"model":"m"}'.encode("utf-32"), "not UTF-8", id="UTF-32"),
        pytest.param(b'{"a":"\xff"}', "not UTF-8", id="Latin-1"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', "not UTF-8", id="surrogate in UTF-8"),
        pytest.param(b'{"a":"\\ud800"}', "not UTF-8", id="half a pair"),
        pytest.param(b'{"a":"\\uDC00x"}', "not UTF-8", id="the other half"),
        pytest.param(b'{"\\ud800":1}', "not UTF-8", id="half a pair in a name"),
        pytest.param(b'{"model":"a","model":"b"}', "`model` is given twice", id="model twice"),
        pytest.param(b'{"a":1,"\\u0061":2}', "`a` is given twice", id="twice, once escaped"),
        pytest.param(b'{"model":"a","Model":"b"}', "`model` is spelled in another way", id="Model beside model"),
        pytest.param(b'{"Model":"b"}', "`model` is spelled in another way", id="Model alone"),
        pytest.param(b'{"MODELS":[]}', "`models` is spelled in another way", id="MODELS"),
        pytest.param('{"ſtream":true}'.encode(), "`stream` is spelled in another way", id="a long s"),
        pytest.param(b'{"a":' + b"[" * 129 + b"]" * 129 + b"}", "too deeply", id="129 lists"),
        pytest.param(b'{"a":' * 130 + b"1" + b"}" * 130, "too deeply", id="130 objects"),
        pytest.param(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deeply", id="100,000 lists"),
        pytest.param(b'{"a":' * 100_000, "too deeply", id="100,000 open objects"),
    ],
)  # fmt: skip
def test_other_bodies_are_refused(raw: bytes, says: str) -> None:
    with pytest.raises(BadBody, match=says):
        JSONBody(raw)


def test_nesting_up_to_the_limit_is_fine_and_many_brackets_side_by_side_are_no_nesting() -> None:
    assert JSONBody(b'{"a":' + b"[" * 120 + b"]" * 120 + b"}").get("a")
    assert len(JSONBody(b'{"a":[' + b",".join([b"[{}]"] * 5000) + b"]}").get("a")) == 5000


@pytest.mark.parametrize(
    ("raw", "changes", "dropped", "made"),
    [
        pytest.param(b'{ "model" : "a" }', {}, (), b'{ "model" : "a" }', id="nothing"),
        pytest.param(b'{ "model" : "a" }', {"model": "a"}, (), b'{ "model" : "a" }', id="what is there already"),
        pytest.param(b'{"model": "a","n": 1e2}', {"model": "b"}, (), b'{"model": "b","n": 1e2}', id="one value"),
        pytest.param(b'{"a":1}', {"b": [True, None]}, (), b'{"a":1,"b":[true,null]}', id="a new member"),
        pytest.param(b"{}", {"b": 1}, (), b'{"b":1}', id="into an empty object"),
        pytest.param(b'{"a":1,"b":2,"c":3}', {}, ("b",), b'{"a":1,"c":3}', id="dropped"),
        pytest.param(b'{"a":1}', {}, ("z",), b'{"a":1}', id="dropping what is not there"),
        pytest.param(b'{"a":1}', {}, ("a",), b"{}", id="dropping all"),
        pytest.param(b'{"a":1}', {"a": 2}, ("a",), b'{"a":2}', id="set and dropped: set"),
        pytest.param(b'{"a":1,"b":2}', {"a": 1}, ("a", "b"), b'{"a":1}', id="set to what it is and dropped: stays"),
        pytest.param(b'{"a":1}', {"a": True}, (), b'{"a":true}', id="1 is not true"),
        pytest.param(b'{"a":{"b":1}}', {"a": {"b": True}}, (), b'{"a":{"b":true}}', id="nor is it further down"),
        pytest.param(b'{"a":1}', {"a": 1.0}, (), b'{"a":1.0}', id="nor is 1 the double"),
        pytest.param(b'{"a":"\\u00e9"}', {"b": "\u20ac"}, (), '{"a":"\\u00e9","b":"€"}'.encode(), id="escapes stay"),
    ],
)  # fmt: skip
def test_edits_leave_every_other_byte_alone(raw: bytes, changes: dict[str, Any], dropped: Any, made: bytes) -> None:
    assert JSONBody(raw).edited(changes, frozenset(dropped)) == made


def test_members_are_read_by_name() -> None:
    body = JSONBody(b'{"model":"m","n":null}')
    assert (body.get("model"), body.get("n"), body.get("z")) == ("m", None, None)
    assert set(body.names) == {"model", "n"}
