from __future__ import annotations

import json
import random
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
        pytest.param(b'{"Background":true}', "`background` is spelled in another way", id="Background"),
        pytest.param('{"ſtream":true}'.encode(), "`stream` is spelled in another way", id="a long s"),
        pytest.param(b'{"a":' + b"[" * 129 + b"]" * 129 + b"}", "too deeply", id="129 lists"),
        pytest.param(b'{"a":' * 130 + b"1" + b"}" * 130, "too deeply", id="130 objects"),
        pytest.param(
            b'{"long":"' + b"x" * 10_000 + b'","a":' + b"[" * 129 + b"]" * 129 + b"}", "too deeply", id="a long one"
        ),
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
    assert JSONBody(b'{"a":"' + b"[{" * 5000 + b'"}').get("a") == "[{" * 5000


@pytest.mark.parametrize(
    "beside", [b"", b',"b":"' + b"]}[{" * 100 + b'"', b',"b":' + b"[[]]"], ids=["", "text", "lists"]
)
@pytest.mark.parametrize(
    ("opens", "closes"),
    [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"), (b'{"a":[', b"]}")],
    ids=["lists", "objects", "lists of objects", "objects of lists"],
)
def test_the_limit_of_nesting_is_exact(opens: bytes, closes: bytes, beside: bytes) -> None:
    depth = len(opens.translate(None, b'"a:'))
    levels, odd = divmod(127, depth)
    inner = b"[" * odd + opens * levels + b"1" + closes * levels + b"]" * odd
    assert JSONBody(b'{"a":' + inner + beside + b"}").get("a")
    with pytest.raises(BadBody, match="too deeply"):
        JSONBody(b'{"a":[' + inner + b"]" + beside + b"}")


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
        pytest.param(b' { "a" : 1 , "b":2 } ', {"a": 3}, (), b' { "a" : 3 , "b":2 } ', id="spaces stay"),
        pytest.param(b'{"a":1,"b":"}"} ', {"c": 3}, (), b'{"a":1,"b":"}","c":3}', id="a new member after a bracket"),
        pytest.param(b'{"a":1,"b":2}', {"c": 3}, ("a", "b"), b'{"c":3}', id="all dropped, one new"),
        pytest.param(b'{"a":1,"b":[{"a":1}]}', {"b": 0, "a": 2}, (), b'{"a":2,"b":0}', id="two values"),
        pytest.param(b'{"b":{"a":1},"a":1}', {"a": 2}, (), b'{"b":{"a":1},"a":2}', id="not one of that name inside"),
        pytest.param(b'{"\\u0061":1}', {"a": 2}, (), b'{"\\u0061":2}', id="a name in escapes"),
        pytest.param('{"é":"😀","a":1}'.encode(), {"a": 2}, (), '{"é":"😀","a":2}'.encode(), id="wide characters"),
    ],
)  # fmt: skip
def test_edits_leave_every_other_byte_alone(raw: bytes, changes: dict[str, Any], dropped: Any, made: bytes) -> None:
    assert JSONBody(raw).edited(changes, frozenset(dropped)) == made


def test_members_are_read_by_name() -> None:
    body = JSONBody(b'{"model":"m","n":null}')
    assert (body.get("model"), body.get("n"), body.get("z")) == ("m", None, None)
    assert set(body.names) == {"model", "n"}


def _as_json_reads_it(raw: bytes) -> dict[str, Any] | None:
    """The body by Python's own reader, and by rules that look at all of it; None where it must be refused."""
    outermost: list[tuple[str, Any]] = []

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        outermost[:] = pairs  # the last call is for the outermost object
        return dict(pairs)

    def refuse(_: str) -> Any:
        raise ValueError

    try:
        value = json.loads(raw.decode(), object_pairs_hook=made, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or len(outermost) > len(value) or _depth(value) > 129:
        return None
    decisive = {"model", "models", "stream"}
    return None if any(name.casefold() in decisive and name not in decisive for name in value) else value


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(_depth, inside), default=0)


_SEEDS = [
    b'{"model":"m","models":["a"],"stream":true,"messages":[{"content":"hi \\n \\"x\\" \\u00e9 \\ud83d\\ude00"}]}',
    b' \r\n\t{ "a" : 1 , "b" : [1, {"c": null}] } \n',
    b'{"n":1e2,"big":123456789012345678901234567890,"i":-9223372036854775809,"u":18446744073709551616}',
    b'{"neg":-0.0,"z":-0,"inf":1E400,"f":0.1,"tiny":4.9e-324,"odd":9007199254740993.0,"max":1.7976931348623159e308}',
    b'{"mod\\u0065l":"x","models":["y"],"metadata":{"Model":"x","model":"y","model":1}}',
    '{"ключ":"värde","emoji":"😀","":1,"\\u0000":2}'.encode(),
    b'{"a":' + b"[" * 127 + b"]" * 127 + b"}",
    b'{"a":' * 128 + b"1" + b"}" * 128,
    b'{"a":' + b"9" * 4300 + b"}",
]
_PIECES = [
    *(bytes([byte]) for byte in b'"\\{}[]:, \n\t\x00\x1f\x0b\x0c\x7f\xff0-.e+'),
    *(b"\\u", b"\\ud83d", b"\\u0041", b"\\/", b"1e5", b"01", b".5", b"1.", b"true", b"null", b"NaN", b"-Infinity"),
    *(b'"model"', b'"Model":1,', b'"a":1,', b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc2\xa0", b"\xe2\x80\xa8", b"/**/"),
]


@pytest.mark.parametrize("seed", range(20))
def test_damaged_bodies_are_read_as_json_reads_them_or_not_at_all(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(300):
        raw = bytearray(chance.choice(_SEEDS))
        for _ in range(chance.randint(0, 3)):
            at = chance.randrange(len(raw) + 1)
            raw[at : at + chance.choice([0, 0, 1, 1, 2, 5])] = chance.choice(_PIECES)
        expected = _as_json_reads_it(bytes(raw))
        if expected is None:
            with pytest.raises(BadBody):
                JSONBody(bytes(raw))
        else:
            assert repr(JSONBody(bytes(raw)).value) == repr(expected)  # 1, 1.0 and True differ, and so do -0.0 and 0


@pytest.mark.parametrize("seed", range(20))
def test_any_edit_gives_the_object_that_was_asked_for(seed: int) -> None:
    chance = random.Random(seed)
    names = ["model", "models", "stream", "messages", "a", "ключ", "neu"]
    values: list[Any] = ["m", 1, True, None, [], {"model": "}"}, '"', "\\", 1.0]
    for raw in _SEEDS:
        changes = {name: chance.choice(values) for name in chance.sample(names, 3)}
        dropped = frozenset(chance.sample(names, chance.randint(0, 2)))
        before = json.loads(raw)
        after = {name: value for name, value in before.items() if name in changes or name not in dropped} | changes
        assert repr(json.loads(JSONBody(raw).edited(changes, dropped))) == repr(after)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b"{" + b",".join(b'"a%d":1' % n for n in range(10_001)) + b"}", "too many members", id="members"),
        pytest.param(b'{"a":[' + b"[]," * 250_000 + b"[]]}", "too many lists and objects", id="containers"),
        pytest.param(
            b'{"a":{' + b",".join(b'"%x":1' % n for n in range(500_000)) + b"}}",
            "too many members",
            id="within",
        ),
    ],
)
def test_a_body_that_would_take_long_is_refused(raw: bytes, says: str) -> None:
    with pytest.raises(BadBody, match=says):
        JSONBody(raw)


def test_blanks_take_no_time() -> None:
    raw = b'{"model": "m",' + b" " * 2_000_000 + b'"a": 1}'
    assert JSONBody(raw).edited({"a": 2}) == raw.replace(b"1}", b"2}")
