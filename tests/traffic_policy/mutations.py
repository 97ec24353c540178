"""Good policies, and what may become of them: nodes of other types, keys that are gone, twice there or misspelled,
garbage in expressions, YAML that nobody should write, and files with broken bytes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.actions.examples import EXAMPLES

HERE = Path(__file__).parent
READY = sorted((HERE.parents[1] / "policies").glob("*.yaml"))
SECRET = "sk-hush-0123456789abcdef0123456789abcdef"

_INNER = 4  # from here on there are expressions, and actions with their configs; above are phases and rules
_AGAIN = "\N{SYMBOL FOR SUBSTITUTE}"  # at the end of a key: it is left out of the text, so that the key is there twice
_AS_IT_IS = "\N{SYMBOL FOR ESCAPE}"  # around text: it is written without quotes
_WRITTEN = re.compile(f'"{_AS_IT_IS}.*?{_AS_IT_IS}"')


def _phase(kind: str) -> str:
    phases = ACTIONS[kind].phases
    return next(phase for phase in ("on_http_request", *sorted(phases)) if phase in phases)


def _documents() -> Iterator[Any]:
    for file in (HERE / "examples.yaml", HERE / "vectors.yaml"):
        yield from (entry["policy"] for entry in yaml.safe_load(file.read_text()).values())
    for kind, config in EXAMPLES.items():
        yield {_phase(kind): [{"expressions": ["req.method == 'POST'"], "actions": [{"type": kind, "config": config}]}]}


TEXTS = [file.read_text() for file in READY]
DOCUMENTS = [*(yaml.safe_load(text) for text in TEXTS), *_documents()]

EXPRESSIONS = [
    "", " ", "true", "1", "'text'", "null", "[]", "{}", "1 +", "(", "(" * 300, "!" * 3000 + "true", "-" * 3001 + "1",
    "[" * 200 + "]" * 200, "a" + ".b" * 3000, "1" + " + 1" * 3000, "true" + " && true" * 2000, "nope", "req.nope",
    "vars", "vars.a.b.c == 1", "req.headers['x'][0]", "req.headers.x.y.z", "1/0 == 1", "1 % 0 == 0", "'a' + 1",
    "[1, 2][5] == 1", "{'a': 1}.b == 1", "-9223372036854775808 < 0", "9223372036854775808 < 0",
    "--9223372036854775808 < 0", "1e999 > 0.0", "18446744073709551616u > 0u", "'\\ud800' == ''", "'\\xff' == ''",
    "b'\\xff' == b''", "'\\U00110000' == ''", "'", '"""', "r'\\'", "string(b'\\xff') == ''", "'a'.matches('(')",
    "'a'.matches('(?P<')", "'a'.matches('(a{900}){900}')", "'a'.matches(req.method)", "duration('x') > duration('1s')",
    "duration('1e9h') > duration('1s')",
    "timestamp('9999-12-31T23:59:59Z') + duration('1h') > timestamp('0001-01-01T00:00:00Z')", "timestamp('0') == 1",
    "int('9' + '" + "9" * 5000 + "') > 0", "int(1e300) > 0", "uint(-1) == 0u", "double('nan') != 0.0", "has(req)",
    "has(req.headers.x) && has(vars.y)", "[1].all(x, nope)", "[1].map(x, x, x, x)", "[1].exists(1, true)",
    "[1].map(req, req) == []", "req.method.size", "req.method()", "size()", "size(1, 2)", "a.b.c()", "secrets",
    "secrets.get", "secrets.get()", "secrets.get(1)", "secrets.get('v', 'n') == 'x'", "secrets.get('v', 'n') + 1 == 2",
    "int(secrets.get('v', 'n')) > 1", "'x'.matches(secrets.get('v', 'n'))", "[secrets.get('v', 'n')][9] == ''",
    "duration(secrets.get('v', 'n')) > duration('1s')", "{secrets.get('v', 'n'): 1, secrets.get('v', 'n'): 2} == {}",
    "secrets.get('../v', 'n\\u0000') == ''", f"'{SECRET}' + 1 == ''", f"'{SECRET}'.nope()", f"int('{SECRET}') == 1",
    "json.decode('{') == 1", "base64.decode('%') == b''", "rand.int(2, 1) == 1", "time.now()", "time.now", "in",
    "if true", "x ? y : z", "true ? 1 : 'a'", "a = b", "a and b", "req.method = 'GET'", "/* */ true", "true // why",
    "💩", "true;", "req\u2028.method", "\u00a0true", "\ufefftrue", "true\x00", "ai.keys", "ai.models.filter(m, m.id)",
    "k.value == 'x'", "actions.ngrok.nope.x == 1", "actions.ngrok.log.metadata.a.b == 1", "res.status_code == 200",
    "conn.client_ip == 1", "msg.data == ''", "conn.client_ip in ['10.0.0.0/8']",
    "inCidrRange(conn.client_ip, '1.2.3.4/99')", "req.body.a.b == 1", "getReqHeader()", "hasReqHeader(1)",
    "inCidrRange('x', 1)", "type(1) == int", "dyn(1) + 'a' == 1", "optional.of(1)", "a.?b", "[?a]",
    "{1: 2, 1: 3} == {}", "Struct{a: 1} == 1", ".req.method == 'GET'", "`a`", "req.`a-b` == 1",
]  # fmt: skip
TEMPLATES = [
    "${", "${}", "${ }", "${'}'}", "${{}}", "$${", "$<", "$<>", "$<a > b>", "${nope}", "${1/0}", "${req.method",
    "${a}${", "$1", "${secrets.get('v', 'n')}", "${secrets.get('v', 'n') + 1}", "${'a'.matches('(')}", "${null}",
    "${true}", "${[1, {}]}", "${'" + SECRET + "'.nope()}", "${bytes('a')}", "${duration('1s')}", "${req.headers}",
    "${res.status_code}", "${vars.a}", "${'\\ud800'}", "${" * 200 + "}" * 200, "$args", "\r\n", "a\r\nb: c", "\x00",
    "\ud800", "\udfff", "\u2028", "\x85", "é", "💩",
]  # fmt: skip
WORDS = [
    "", " ", "x", "x" * 5000, "true", "null", "1", "0", "-1", "1.5", "9" * 5000, "1e9", "NaN", "Infinity", "²", "٣",
    "1_000", "0x10", "1s", "0s", "-1s", "1h30m", "1e9h", "9" * 30 + "h", "9" * 5000 + "s", "1ns", "٣s", "1.5.5s",
    "100/min", "65s", "24h1s", "1s ", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/٣", "0.0.0.0/0", "::/0", "fe80::1%eth0/64",
    "::ffff:1.2.3.4/96", "01.2.3.4/8", "1/8", "/8", "1.2.3.4/", "1.2.3.4/-1", "10.0.0.0/8/8", "999.1.1.1/8", "http://",
    "http://x", "https://x:99999", "https://x:٣", "https://[::1", "https://[x]/", "//x", "https://u:p@x/",
    "https://x.internal", "https://any.internal:443/p?q#f", "ftp://x", "https://x y/", "http://\x00/", "https://x/\n",
    "https://" + "x" * 300, "https://xn--/", "https://é.example/", "https://..", "javascript:alert(1)", "/x", "?", "#",
    "%", "%zz", "\\", "(", ")", "[", "(?P<", "(?P<a>b)(?P<a>c)", "(?=x)", "(a{900}){900}", "\\1", "[z-a]", "*", "+",
    "a**", "\\p{Nope}", "$9", "${1}", "\\Q", "authorization", "Content-Length", "connection", "a b", "a:",
    ":authority", "host", "user:pass", "user:password1", ":password1", "user:" + "p" * 200, "openai", "anthropic",
    "opnai", "gpt-4o", "GET", "get", "TRACE", "gzip", "none", "RS256", "HS256", "kid", "halt", "continue",
    "sliding_window", "__proto__", "__class__", "{0}", "%s", "{a.b}", SECRET, f"Bearer {SECRET}", "sk-",
    "on_http_request", "deny",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 403, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    float("-inf"), [], {}, [[]], [{}], [None], [1, "a", None, {}], {"a": 1}, {"a": {"b": [1]}}, {"": 1}, {"a b": 1},
    {"type": "deny"}, [{"type": "deny"}], {"value": SECRET}, [{SECRET: 1}], {SECRET: SECRET}, [{"id": "openai"}],
    [{"key": "a", "value": 1}], {"vars": [{"a": 1}]},
]  # fmt: skip
YAML = [
    "2024-01-01", "2024-01-01T00:00:00Z", "12:30:45", "0o17", "0b11", "017", "0x1F", "1_000", "+1", ".5", "5.", "1e3",
    "1e999", ".inf", "-.INF", ".nan", "~", "yes", "no", "on", "NULL", "<<", "=", "!!str 1", "!!int x", "!!binary aGk=",
    "!!python/object:os.system {}", "!!timestamp 2024-01-01", "!!set {a, b}", "!!omap [a: 1]", "!x", "!x {a: 1}",
    "!<tag:x> y", "! x", "!", "&a 1", "&a [*a]", "*a", "*nope", "&a", "[&b 1, *b]", "&c {a: &d [1], b: *d}",
    "[&e {a: 1}, {<<: *e}]", "{<<: {a: 1}}", "{? a, ? b}", "{? [a] : b}", "{? {a: 1} : b}", "{1: a, 1: b}",
    "{true: a}", "{~: a}", "{a: }", "[a: 1, b]", "[,]", "{,}", "[1, ]", "|", ">", "- a", "? a", ": a", "@a", "`a`",
    "%a", "'a", '"a', "'a' b", '"\\q"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\x07"', '"\\N\\L\\P\\e"',
    "# a", "a # b", "a: b", "a:\tb", "---", "...", "[" * 70 + "]" * 70, "{a: " * 70 + "}" * 70, "[" * 3000,
    "{a: " * 3000, "9" * 5000, "0x" + "f" * 5000, "1." + "0" * 5000, "x" * 70_000,
]  # fmt: skip
PIECES = [
    b": ", b"- ", b"\n", b"\n  ", b"\t", b"'", b'"', b"\\", b"[", b"]", b"{", b"}", b",", b"&a ", b"*a", b"!",
    b"!!str ", b"? ", b"|", b">", b"#", b"%", b"@", b"`", b"~", b"---\n", b"...\n", b"<<: ", b"null", b"\r", b"\x00",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\xe2\x80\xa8", b"\xc2\x85", b"\xf0\x9f\x92\xa9", b"${", b"}", b"$<", b"0", b"%YAML 1.1\n---\n",
]  # fmt: skip

_strange = st.one_of(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(TEMPLATES),
    st.sampled_from(WORDS),
    st.sampled_from(VALUES),
    st.sampled_from([f"{_AS_IT_IS}{text}{_AS_IT_IS}" for text in YAML]),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
        max_leaves=6,
    ),
)


class _Place(NamedTuple):
    """A node, by what holds it and its key there."""

    parent: Any
    key: Any
    depth: int


@st.composite
def mutated_structure(draw: st.DrawFn) -> bytes:
    """A good policy of which some nodes are others, as JSON with whatever cannot be said in it."""
    holder = {"": copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))}
    for _ in range(draw(st.integers(1, 3))):
        _mutate(draw, holder)
    return _written(holder[""], ensure_ascii=draw(st.booleans()))


@st.composite
def mutated_bytes(draw: st.DrawFn) -> bytes:
    """A ready policy with some stretches cut out, repeated elsewhere, or replaced by something awkward."""
    data = draw(st.sampled_from(TEXTS)).encode()
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 2, 10, 200])))
        insert = draw(st.one_of(st.just(b""), st.just(data[start:end]), st.sampled_from(PIECES), st.binary(max_size=3)))
        at = draw(st.sampled_from([start, end, draw(st.integers(0, len(data)))]))
        data = data[:at] + insert + data[max(at, end) :]
    return data


def _mutate(draw: st.DrawFn, document: dict[str, Any]) -> None:
    places = sorted(_places(document), key=lambda place: -place.depth)  # Hypothesis likes what comes first
    inner = [place for place in places if place.depth >= _INNER]
    parent, key, _ = draw(st.sampled_from((draw(st.sampled_from([inner, inner, inner, places]))) or places))
    changes = ["replace", "replace", "replace", "wrap"]
    if isinstance(parent, list):
        changes += ["remove", "repeat"]
    elif key:
        changes += ["remove", "repeat", "rename", "add"]
    change = draw(st.sampled_from(changes))
    if change == "replace":
        parent[key] = copy.deepcopy(draw(_strange))
    elif change == "wrap":
        parent[key] = draw(st.sampled_from([[parent[key]], {"a": parent[key]}, [parent[key], parent[key]]]))
    elif change == "remove":
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif change == "repeat":
        parent[key + _AGAIN] = copy.deepcopy(parent[key])
    elif change == "rename":
        parent[draw(_names(key))] = parent.pop(key)
    else:
        parent[draw(_names(key))] = copy.deepcopy(draw(_strange))


def _names(key: str) -> st.SearchStrategy[str]:
    near = [key + "s", key[:-1], key.upper(), key.replace("_", "-"), f" {key}", f"{key}.{key}"]
    others = [
        "",
        "a",
        "if",
        "name",
        "type",
        "config",
        "actions",
        "expressions",
        "value",
        "id",
        "on_error",
        "<<",
        SECRET,
    ]
    return st.one_of(st.sampled_from(near), st.sampled_from([*others, SECRET]), st.text(max_size=5))


def _places(node: Any, depth: int = 0) -> Iterator[_Place]:
    """Every node of a document."""
    keys = node.keys() if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield _Place(node, key, depth)
        yield from _places(node[key], depth + 1)


def _written(document: Any, *, ensure_ascii: bool) -> bytes:
    text = json.dumps(document, indent=1, ensure_ascii=ensure_ascii)
    for mark in (_AGAIN, _AS_IT_IS):
        text = text.replace(json.dumps(mark).strip('"'), mark)
    text = _WRITTEN.sub(lambda found: json.loads(found.group()).strip(_AS_IT_IS), text).replace(_AGAIN, "")
    return text.encode("utf-8", "surrogatepass")
