"""Text as base64, JSON, query strings and URLs."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

GIVES = [
    ("base64.encode(b'hello') + 'hello'.encodeBase64()", "aGVsbG8=aGVsbG8="),
    ("base64.decode('aGVsbG8=') == b'hello' && base64.decode('aGVsbG8') == b'hello'", True),
    ("'aGVsbG8='.decodeBase64()", "hello"),
    ("basic_auth.encode('user', 'pass')", "Basic dXNlcjpwYXNz"),
    ("json.encode({'a': [1, 2.5, null, true]})", '{"a":[1,2.5,null,true]}'),
    ("[1, 'é'].encodeJson() + {'a': 1}.encodeJson()", '[1,"é"]{"a":1}'),
    ("json.decode('{\"a\": [1, 1.0, 1e2]}').a == [1, 1.0, 100.0]", True),
    ("type(json.decode('[1, 1.0]')[0]) == int && type('[1, 1.0]'.decodeJson()[1]) == double", True),
    ("json.decode('[9223372036854775807, 9223372036854775808]') == [9223372036854775807, 9.223372036854775808e18]",
     True),
    ("'a=%41'.isQueryString() && !'a=%zz'.isQueryString()", True),
    ("'{}'.isJson() && !'{'.isJson() && !'NaN'.isJson()", True),
    ("queryString.encode({'b': ['1', '2'], 'a': 'x y'})", "a=x+y&b=1&b=2"),
    ("{'q': 'a&b'}.encodeQueryString()", "q=a%26b"),
    ("queryString.decode('q=hello&q=2&e=') == {'q': 'hello', 'e': ''}", True),
    ("'a=1'.decodeQueryString().a + string('a=1'.isQueryString()) + string('a b'.isQueryString())", "1truefalse"),
    ("url.escape('i;md/r/$y') + ' a'.escapeUrl()", "i%3Bmd%2Fr%2F%24y+a"),
    ("url.unescape('a%2Fb+c') + 'a%20b'.unescapeUrl()", "a/b ca b"),
    ("url.parse('https://u:p@x.com:8080/p?q=1#f').map(k, k).join()",
     "schemehosthostnameportpathqueryfragmentuser_password"),
    ("cel.bind(u, url.parse('https://u:p@x.com:8080/p?q=1#f'), u.host + u.hostname + u.port + u.query + u.fragment)",
     "x.com:8080x.com8080q=1f"),
    ("'https://x/y'.parseUrl().path", "/y"),
    ("'https://x.com'.isURL() && !'not a url'.isURL() && !'http://[::1'.isURL()", True),
    (r"['/', '/a//b', r'/a\b', '?q', 'file:///a', 'http:///a'].all(x, url.parse(x).host == '')", True),
    (r"'https://evil.com\\@good.com/'.isURL() || url.parse('https://a.com/b\\c d').path != r'/b\c d'", False),
]  # fmt: skip
FAILS = [
    "base64.decode('a')", "base64.decode('!!!!')", "'/w=='.decodeBase64()", "json.decode('{')",
    "json.decode('NaN')", "json.decode('1e999')", "json.decode('-1e999')", "json.decode('" + "9" * 400 + "')",
    "url.unescape('%zz')", "'100%'.unescapeUrl()", "queryString.decode('a=%')", "json.decode('[' + vars.tier)", "url.parse('http://[::1')",
    r"url.parse('https://evil.com\\@good.com/')", r"url.parse('https://evil.com\\.good.com/')",
    r"url.parse('/\\evil.com')", r"url.parse('https:\\\\evil.com')", "url.parse('///evil.com')",
    r"url.parse('https://a\tb.com/')", r"url.parse('\nhttps://a.com/')", "url.parse('https://a b/')",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
