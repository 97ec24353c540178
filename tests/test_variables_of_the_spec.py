"""Sections 3 and 4 of Traffic Policy's documentation, row by row: every variable and function is there, has its type,
and is known in the phases that it is documented for and in no other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from ai_gateway_mw.answering import ResponseHead
from ai_gateway_mw.cel import EvaluationError
from ai_gateway_mw.context import Context
from ai_gateway_mw.headers import Fields
from ai_gateway_mw.keys import GatewayKey, result_of
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.variables.results import OUR_RESULTS, RESULTS
from tests.asgi import http_scope
from tests.gateways import secret_store
from tests.test_variables import context, nothing

T, Q, S, E = Phase.ON_TCP_CONNECT, Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE, Phase.ON_EVENT_STREAM_MESSAGE
EVERYWHERE, HTTP, ANSWER = (T, Q, S, E), (Q, S, E), (S, E)

_CERTIFICATE = """
extensions list | serial_number string | signature_algorithm string | validity.not_before timestamp
validity.not_after timestamp | san string | san.dns_names list | san.email_addresses list | san.ip_addresses list
san.uris list | subject string | issuer string
"""
_NAME = "country locality organization organizational_unit postal_code province street_address"
_PLACE = "city continent country country_code metro_code subdivision timezone"


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.strip().splitlines():
        for each in line.split("|"):
            name, type_ = each.split()
            yield name, type_


def _certificate(end: str) -> Iterator[tuple[str, str]]:
    yield from ((f"conn.tls.{end}.{name}", type_) for name, type_ in _pairs(_CERTIFICATE))
    for whose in ("subject", "issuer"):
        yield f"conn.tls.{end}.{whose}.common_name", "string"
        yield from ((f"conn.tls.{end}.{whose}.{name}", "list") for name in _NAME.split())


def _intelligence(end: str) -> Iterator[tuple[str, str]]:
    yield from (
        (f"conn.{end}.{name}", type_)
        for name, type_ in _pairs(
            "categories list | is_on_blocklist bool | is_tor_node bool | as.number int | as.organization string"
        )
    )
    for place, names in (
        ("location", f"{_PLACE} latitude longitude postal_code radius"),
        ("registered_location", _PLACE),
    ):
        yield from ((f"conn.{end}.geo.{place}.{name}", "string") for name in names.split())
        yield f"conn.{end}.geo.{place}.is_eu", "bool"


def _message(of: str) -> Iterator[tuple[str, str]]:
    yield from (
        (f"{of}.{name}", type_)
        for name, type_ in _pairs(
            "headers map | trailers map | cookies map | content_length int | content_type string\n"
            "content_type.parameters map | content_type.raw string | content_encoding list | location string"
        )
    )


# Section 3: names, what `type()` says of their values, and the phases that know them.
VARIABLES: list[tuple[str, str, tuple[Phase, ...]]] = [
    *(
        (name, type_, EVERYWHERE)
        for name, type_ in (
            # 3.1
            *_pairs("conn.bytes_in int | conn.bytes_out int | conn.client_ip string | conn.client_port int"),
            *_pairs("conn.server_ip string | conn.server_port int | conn.server_region string"),
            ("conn.ts.start", "timestamp"),
            *(
                (f"conn.geo.{name}", "string")
                for name in ("city", "country", "country_code", "latitude", "longitude", "radius", "subdivision")
            ),
            # 3.2
            *_pairs("conn.tls.version string | conn.tls.cipher_suite string | conn.tls.sni string"),
            *_pairs("conn.tls.negotiated_alpn string | conn.tls.ja4_fingerprint string"),
            ("conn.tls.session_resumed", "bool"),
            *_certificate("client"),
            ("conn.tls.client.pem", "string"),
            *_certificate("server"),
            # 3.3
            *_intelligence("client_ip"),
            *_intelligence("server_ip"),
            # 3.4
            *_pairs("conn.k8s.pod.id string | conn.k8s.pod.metadata.name string"),
            *_pairs("conn.k8s.pod.metadata.namespace string | conn.k8s.pod.metadata.annotations map"),
            *_pairs("conn.k8s.pod.metadata.error_code string | conn.k8s.pod.metadata.error_message string"),
            # 3.5
            *_pairs("endpoint.addr string | endpoint.host string | endpoint.id string | endpoint.port int"),
            *_pairs("endpoint.protocol string | endpoint.url string"),
            # 3.8
            *_pairs("time.now string | vars map | actions map"),
        )
    ),
    *(
        (name, type_, HTTP)
        for name, type_ in (
            # 3.6
            *_pairs("req.method string | req.version string | req.host string | req.id string"),
            *_message("req"),
            *_pairs("req.url string | req.url.scheme string | req.url.authority string | req.url.host string"),
            *_pairs("req.url.port int | req.url.path string | req.url.query string | req.url.query_params map"),
            *_pairs("req.url.uri string | req.url.raw string | req.url.raw_path string"),
            *_pairs("req.url.user_password string | req.user_agent string"),
            *(
                (f"req.user_agent.{name}", "string")
                for name in ("name", "version", "os", "os_version", "device", "url")
            ),
            *((f"req.user_agent.is_{name}", "bool") for name in ("mobile", "tablet", "desktop", "bot")),
            *_pairs("req.ts.header_received timestamp | req.ts.body_received timestamp"),
        )
    ),
    *((name, type_, ANSWER) for name, type_ in (("res.status_code", "int"), *_message("res"))),  # 3.7
]
_SHOWN = {"timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}


@cache
def stores() -> Stores:
    return Stores(Settings(), secrets=secret_store({"v": {"s": "secret"}}))


def evaluated(text: str, phase: Phase, ctx: Context) -> Any:
    runtime = Runtime(stores(), phase)
    made = runtime.expression(text)
    assert made is not None, runtime.problems
    return made(ctx)


def is_known(text: str, phase: Phase) -> bool:
    return Runtime(stores(), phase).expression(text) is not None


def exchange() -> Context:
    ctx = context("/v1/x?q=1")
    ctx.response = ResponseHead(200, Fields([(b"content-type", b"text/plain")]))
    ctx.body, ctx.body_received_at = b"", 1.0
    return ctx


@pytest.mark.parametrize(("name", "type_", "phases"), VARIABLES, ids=[name for name, *_ in VARIABLES])
def test_a_variable_has_its_type_in_its_phases(name: str, type_: str, phases: tuple[Phase, ...]) -> None:
    for phase in Phase:
        text = f"type({name}) == {_SHOWN.get(type_, type_)}"
        if phase in phases:
            assert evaluated(text, phase, exchange()), (name, phase)
        else:
            assert not is_known(text, phase), (name, phase)


# Section 4: one call of each, what it gives, and the phases that know it.
FUNCTIONS: list[tuple[str, Any, tuple[Phase, ...]]] = [
    # 4.1
    ("getReqHeader('HOST').size()", 1, HTTP),
    ("getReqHeader('nope')", [], HTTP),
    ("hasReqHeader('nope')", False, HTTP),
    ("getReqCookie('nope') == null", True, HTTP),
    ("hasReqCookie('nope')", False, HTTP),
    ("getQueryParam('q')", ["1"], HTTP),
    ("hasQueryParam('q')", True, HTTP),
    ("getResHeader('nope')", [], ANSWER),
    ("hasResHeader('content-type')", True, ANSWER),
    ("getResCookie('nope') == null", True, ANSWER),
    ("hasResCookie('nope')", False, ANSWER),
    ("basic_auth.encode('u', 'p')", "Basic dTpw", EVERYWHERE),
    # 4.2
    ("inCidrRange('66.249.66.9', '66.249.66.1/24')", True, EVERYWHERE),
    ("inCidrRange('1.2.3.4', 'bad')", False, EVERYWHERE),
    ("inCidrRange('bad', '1.2.3.0/24')", False, EVERYWHERE),
    ("inCidrRanges('1.2.3.4', ['bad', '1.2.0.0/16'])", True, EVERYWHERE),
    ("'192.168.1.1'.isPrivateIp() && !'8.8.8.8'.isPrivateIp()", True, EVERYWHERE),
    ("has(req.headers['nope'])", False, HTTP),
    ("has(req.headers.host)", True, HTTP),
    # 4.3
    ("rand.double() < 1.0", True, EVERYWHERE),
    ("rand.int() in [0, 1]", True, EVERYWHERE),
    ("rand.int(7, 7)", 7, EVERYWHERE),
    ("secrets.get('v', 's') == 'secret'", True, EVERYWHERE),
    # 4.4
    ("hash.crc32('hello')", "3610a686", EVERYWHERE),
    ("hash.crc32('hello', 'base64')", "NhCmhg==", EVERYWHERE),
    ("hash.crc64('hello')", "3c3eeee2d8100000", EVERYWHERE),
    ("'hello'.crc64('base64')", "PD7u4tgQAAA=", EVERYWHERE),
    ("hash.xxhash64('hello')", "26c7827d889f6da3", EVERYWHERE),
    ("'hello'.xxhash64('base64')", "JseCfYifbaM=", EVERYWHERE),
    ("'hello'.md5()", "5d41402abc4b2a76b9719d911017c592", EVERYWHERE),
    ("hash.sha1('hello').startsWith('aaf4c61d')", True, EVERYWHERE),
    ("'hello'.sha256('hex').startsWith('2cf24dba')", True, EVERYWHERE),
    ("hash.sha512('hello', 'hex').size()", 128, EVERYWHERE),
    # 4.5
    ("base64.encode(b'hello')", "aGVsbG8=", EVERYWHERE),
    ("base64.decode('aGVsbG8')", b"hello", EVERYWHERE),
    ("'hello'.encodeBase64().decodeBase64()", "hello", EVERYWHERE),
    ("json.encode({'a': [1, 'b', true, null]})", '{"a":[1,"b",true,null]}', EVERYWHERE),
    ("[1].encodeJson() + {'a': 1}.encodeJson()", '[1]{"a":1}', EVERYWHERE),
    ('json.decode(\'{"n": 1, "d": 1.5}\').n', 1, EVERYWHERE),
    ("'[1]'.decodeJson()[0]", 1, EVERYWHERE),
    ("'{}'.isJson() && !'{'.isJson()", True, EVERYWHERE),
    ("queryString.encode({'b': 'x y', 'a': ['1', '2']})", "a=1&a=2&b=x+y", EVERYWHERE),
    ("{'a': '1'}.encodeQueryString()", "a=1", EVERYWHERE),
    ("queryString.decode('q=hello&q=2')['q']", "hello", EVERYWHERE),
    ("'q=hello'.decodeQueryString().q", "hello", EVERYWHERE),
    ("'q=hello'.isQueryString()", True, EVERYWHERE),
    ("url.escape('i;md/r/$y')", "i%3Bmd%2Fr%2F%24y", EVERYWHERE),
    ("'a b'.escapeUrl()", "a+b", EVERYWHERE),
    ("url.unescape('a+b%2F') + 'c%20d'.unescapeUrl()", "a b/c d", EVERYWHERE),
    ("url.parse('https://h.test/p?q=1').path", "/p", EVERYWHERE),
    ("'https://h.test/p'.parseUrl().host", "h.test", EVERYWHERE),
    ("url.parse(req.url).host != ''", True, HTTP),
    ("'https://h.test'.isURL() && !'not a url'.isURL()", True, EVERYWHERE),
    # 4.6
    ("'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')", True, EVERYWHERE),
    ("'/admin/x'.includes('/admin')", True, EVERYWHERE),
    ("matches('abc', 'b+') && 'abc'.matches('^a')", True, EVERYWHERE),
    ("'abc'.charAt(1) + 'abc'.charAt(3)", "b", EVERYWHERE),
    ("'hello'.indexOf('l') + 'hello'.indexOf('l', 3) + 'hello'.indexOf('z')", 4, EVERYWHERE),
    ("'hello'.lastIndexOf('l') + 'hello'.lastIndexOf('l', 2)", 5, EVERYWHERE),
    ("'hello'.substring(1) + 'hello'.substring(0, 1)", "elloh", EVERYWHERE),
    ("' a  b '.split()", ["a", "b"], EVERYWHERE),
    ("'a,b,c'.split(',')", ["a", "b", "c"], EVERYWHERE),
    ("'a,b,c'.split(',', 2)", ["a", "b,c"], EVERYWHERE),
    ("'a,b'.split(',', 0)", [], EVERYWHERE),
    ("['a', 'b'].join('-') + ['c'].join()", "a-bc", EVERYWHERE),
    ("'aaa'.replace('a', 'b') + 'aaa'.replace('a', 'b', 1)", "bbbbaa", EVERYWHERE),
    ("'AÉ'.lowerAscii() + 'aé'.upperAscii()", "aÉAé", EVERYWHERE),
    ("'AÉ'.lower() + 'aé'.upper()", "aéAÉ", EVERYWHERE),
    ("' a '.trim() + 'ab'.reverse()", "aba", EVERYWHERE),
    ("'%s %d %.2f %x %X %o %b'.format(['a', 1, 1.5, 255, 255, 8, 5])", "a 1 1.50 ff FF 10 101", EVERYWHERE),
    ("'añ'.size() + size('ab')", 4, EVERYWHERE),
    ("strings.quote('a\"b')", '"a\\"b"', EVERYWHERE),
    # 4.7
    ("[1, 2].all(x, x > 0) && [1, 2].exists(x, x == 2) && [1, 2].exists_one(x, x == 1)", True, EVERYWHERE),
    ("[1, 2, 3].filter(x, x > 1).map(x, x * 2)", [4, 6], EVERYWHERE),
    ("[1, 2, 3].map(x, x > 1, x * 2)", [4, 6], EVERYWHERE),
    ("[1, 2, 3].slice(1, 2)", [2], EVERYWHERE),
    ("[[1, [2]], [3]].flatten()", [1, [2], 3], EVERYWHERE),
    ("[[1, [2]], [3]].flatten(2)", [1, 2, 3], EVERYWHERE),
    ("[3, 1, 2].sort()", [1, 2, 3], EVERYWHERE),
    ("[{'a': 2}, {'a': 1}].sortBy(x, x.a)[0].a", 1, EVERYWHERE),
    ("[1, 2, 1].distinct()", [1, 2], EVERYWHERE),
    ("lists.range(3)", [0, 1, 2], EVERYWHERE),
    # 4.8
    ("{'a': 1}.all(k, k == 'a') && {'a': 1}.exists(k, k == 'a') && 'a' in {'a': 1}", True, EVERYWHERE),
    ("{'a': 1, 'b': 2}.filter(k, k == 'a')", ["a"], EVERYWHERE),
    ("{'a': 1}.map(k, k + '!')", ["a!"], EVERYWHERE),
    ("{'a': 1}.size()", 1, EVERYWHERE),
    # 4.9
    ("b'abc'.size() + size(b'ab')", 5, EVERYWHERE),
    # 4.10
    ("timestamp('2023-12-31T23:05:06.789Z').getFullYear()", 2023, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06.789Z').getFullYear('+02:00')", 2024, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06Z').getMonth()", 11, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06Z').getDate()", 31, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06Z').getDayOfMonth()", 30, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06Z').getDayOfWeek('Europe/Berlin')", 1, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06Z').getDayOfYear()", 364, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06Z').getHours()", 23, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06Z').getMinutes()", 5, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06Z').getSeconds()", 6, EVERYWHERE),
    ("timestamp('2023-12-31T23:05:06.789Z').getMilliseconds()", 789, EVERYWHERE),
    ("duration('90m').getHours() + duration('90m').getMinutes() + duration('2s').getSeconds()", 93, EVERYWHERE),
    ("duration('1.5s').getMilliseconds()", 500, EVERYWHERE),
    ("timestamp(time.now) - duration('24h') < timestamp(time.now)", True, EVERYWHERE),
]


@pytest.mark.parametrize(("text", "expected", "phases"), FUNCTIONS, ids=[text for text, *_ in FUNCTIONS])
def test_a_function_gives_its_value_in_its_phases(text: str, expected: Any, phases: tuple[Phase, ...]) -> None:
    for phase in Phase:
        if phase in phases:
            assert evaluated(text, phase, exchange()) == expected
        else:
            assert not is_known(text, phase), phase


# 3.9: results of actions.
FIELDS = [(action, field) for action, fields in RESULTS.items() for field in fields]


@pytest.mark.parametrize(("action", "field"), FIELDS, ids=[f"{action}.{field}" for action, field in FIELDS])
def test_a_result_is_null_before_its_action_and_zero_where_that_says_nothing(action: str, field: str) -> None:
    name = f"actions.ngrok.{action}.{field}"
    ctx = exchange()
    for phase in Phase:
        assert evaluated(f"{name} == null && !has({name})", phase, ctx)
    ctx.publish(action, {})
    assert evaluated(f"{name} != null && {name} in ['', 0, false, [], {{}}]", Q, ctx)


OF_A_KEY = [field for field in OUR_RESULTS["gateway_auth"] if field.startswith("key.")]
OURS = [(action, field) for action, fields in OUR_RESULTS.items() for field in fields if field not in OF_A_KEY]


@pytest.mark.parametrize(("action", "field"), OURS, ids=[f"{action}.{field}" for action, field in OURS])
def test_a_result_of_our_own_is_null_before_its_action(action: str, field: str) -> None:
    for phase in Phase:
        assert evaluated(f"actions.{action}.{field} == null && !has(actions.{action}.{field})", phase, exchange())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("actions.gateway_auth.key.name", "ci"),
        ("actions.gateway_auth.key.metadata.team", "a"),
        ("actions.gateway_auth.key.expires", None),
        ("actions.gateway_auth.error.code", ""),
        ("actions.gateway_auth.authenticated", True),
    ],
)
def test_the_client_s_key_is_read(text: str, expected: Any) -> None:
    ctx = exchange()
    ctx.publish_ours("gateway-auth", GatewayKey("key_1", "ci", b"", metadata={"team": "a"}).result)
    assert evaluated(text, Q, ctx) == expected


@pytest.mark.parametrize("field", OF_A_KEY)
@pytest.mark.parametrize("has_run", [True, False], ids=["after gateway-auth", "before it"])
def test_without_a_key_there_is_nothing_to_read_of_it(field: str, has_run: bool) -> None:
    """A rule for all keys but some must not take a client without a key for one of the others."""
    ctx = exchange()
    if has_run:
        ctx.publish_ours("gateway-auth", result_of(None))
    assert evaluated("actions.gateway_auth.key == null && actions.gateway_auth.error == null", Q, ctx)
    for operator in ("==", "!="):
        with pytest.raises(EvaluationError, match="without a gateway key"):
            evaluated(f"actions.gateway_auth.{field} {operator} 'x'", Q, ctx)


def test_what_an_action_said_is_read() -> None:
    ctx = exchange()
    ctx.publish("restrict-ips", {"action": "deny", "error": {"code": "x"}})
    assert evaluated("actions.ngrok.restrict_ips.action", S, ctx) == "deny"
    assert evaluated("actions.ngrok.restrict_ips.error.code", S, ctx) == "x"
    assert evaluated("actions.ngrok.restrict_ips.error.message", S, ctx) == ""
    assert evaluated("actions.ngrok.restrict_ips", S, ctx)["action"] == "deny"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("actions.ngrok.oauth.identity != null", False),
        ("actions.ngrok.oauth.identity.email == 'a@b.test'", False),
        ("has(actions.ngrok.oauth)", False),
        ("'oauth' in actions.ngrok", False),
        ("actions.ngrok.oauth == null", True),
    ],
)
def test_an_action_that_did_not_run_may_be_asked_for(text: str, expected: bool) -> None:
    assert evaluated(text, Q, exchange()) is expected


@pytest.mark.parametrize("text", ["!{}", "{} && true", "{} + 1 > 0"])
def test_what_is_null_decides_nothing(text: str) -> None:
    """An expression that fails refuses: a rule must not take an action that did not run for one that said no."""
    with pytest.raises(EvaluationError):
        evaluated(text.format("actions.ngrok.basic_auth.credentials.authorized"), Q, exchange())


# 2.7, 4.11 and 4.12: what people write, and what they are told.
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("req.headers.get('x') == ''", "a key of a map is read as m['key']"),
        ("conn.tls.version.starts_with('1')", "did you mean `startsWith`?"),
        ("[1].sort(x, y, x < y) == [1]", "list.sortBy(x, key)"),
        ("!conn.client_ip in ['a']", "use brackets: !(a in b)"),
        ("req.path == '/'", "did you mean `req.url.path`?"),
        ("request.headers == {}", "did you mean `req.headers`?"),
        ("time.now.hour() < 6", "`time.now` is text; write `timestamp(time.now).getHours()`"),
        ("time.now().weekday() == 0", "`time.now` is text; write `timestamp(time.now()).getDayOfWeek()`"),
        ("conn.ts.start.hour() == 1", "unknown function `hour`"),
        ("conn.ts.end == conn.ts.start", "did you mean `conn.ts.start`?"),
        ("req.headers['x'][0] == ${vars.x}", "write it without `${ }`"),
        ("http.path() == '/'", "unknown name `http.path`; did you mean `req.url.path`?"),
        ("http.header('x') == ''", "did you mean `getReqHeader`?"),
        ("http.request_body_json().model == ''", "did you mean `req.body`?"),
        ("security.secret('a', 'b') == ''", "did you mean `secrets.get`?"),
        ("b64.encode('a') == ''", "did you mean `base64.encode`?"),
        ("'x' in conn.client_ip.geo.location.country", "cannot look for string in string"),
        ("res.status_code == 200", "`res.*` is known in on_event_stream_message, on_http_response"),
        ("hasResHeader('x')", "`hasResHeader` (it is known in on_event_stream_message, on_http_response)"),
        ("ai.response.text == ''", "`ai.response.text` (`ai.response.text` is known in on_event_stream_message)"),
    ],
)
def test_what_nobody_has_is_refused_with_what_to_write(text: str, says: str) -> None:
    runtime = Runtime(stores())
    assert runtime.expression(text) is None
    assert says in runtime.problems[0].headline


def test_a_function_of_other_phases_is_taken_for_no_other_name() -> None:
    runtime = Runtime(stores(), Phase.ON_TCP_CONNECT)
    assert runtime.expression("hasReqHeader('x') && hasResHeader('x')") is None
    known = ("on_event_stream_message, on_http_request, on_http_response", "on_event_stream_message, on_http_response")
    assert [problem.headline for problem in runtime.problems] == [
        f"unknown function `has{part}Header` (it is known in {phases})"
        for part, phases in zip(("Req", "Res"), known, strict=True)
    ]


def test_what_is_partly_known_here_is_not_said_to_be_elsewhere() -> None:
    runtime = Runtime(stores())
    assert runtime.expression("ai.request.text == '' ai") is None
    assert "known in" not in runtime.problems[0].headline


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("conn.client_ip in ['10.0.0.0/8']", "write `inCidrRanges(conn.client_ip, [...])`"),
        ("req.host.split('.', 1)[0] == 'a'", "gives the whole text"),
        ("'com' in conn.client_ip.categories", "there is no IP intelligence; set `AI_GATEWAY_IP_INTELLIGENCE`"),
        ("conn.geo.country_code == 'DE'", "set `AI_GATEWAY_IP_INTELLIGENCE`"),
        ("conn.bytes_in > 1000", "always 0"),
        ("conn.tls.version < '1.3'", "set `AI_GATEWAY_TLS_FIELDS`"),
        ("conn.tls.ja4_fingerprint == 'x'", "a trusted proxy may, if `AI_GATEWAY_TLS_FIELDS` has `ja4_fingerprint`"),
        ("conn.k8s.pod.metadata.name == ''", "no Kubernetes bindings"),
    ],
)
def test_what_never_holds_is_warned_of(text: str, says: str) -> None:
    runtime = Runtime(stores())
    assert runtime.expression(text) is not None
    (warning,) = runtime.problems
    assert (warning.severity, says in warning.message) == ("warning", True), warning


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "actions.ngrok.restrict_ip.action == 'deny'",
            "to read it fails; did you mean `actions.ngrok.restrict_ips.action`?",
        ),
        ("actions.restrict_ips.action == 'deny'", "did you mean `actions.ngrok.restrict_ips.action`?"),
        ("actions.ngrok.rate_limit['limit'] == true", "did you mean `actions.ngrok.rate_limit.limited`?"),
        ("actions.ngrok.basic_auth.authorized", "did you mean `actions.ngrok.basic_auth.credentials.authorized`?"),
        ("actions.gateway_auth.key.nam == 'a'", "did you mean `actions.gateway_auth.key.name`?"),
        ("actions.ngrok.log.metadata.a.b == 1", ""),
        ("actions.ngrok.terminate_tls.sni == null", ""),
        ("actions.ngrok.jwt_validation.tokens[0].payload.sub == 'a'", ""),
        ("actions.ngrok.exists(name, name == 'nope')", ""),
        ("[{'nope': 1}].all(actions, actions.nope == 1)", ""),
    ],
)
def test_a_result_that_no_action_has_is_warned_of(text: str, says: str) -> None:
    expression, template = Runtime(stores()), Runtime(stores())
    assert expression.expression(text) is not None
    template.template(f"${{{text}}}")
    for runtime in (expression, template):
        assert [problem.severity for problem in runtime.problems] == (["warning"] if says else [])
        assert says in "".join(problem.headline for problem in runtime.problems)


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("req.headers['x-user'][0]", True),
        ("secrets.get('a', 'b')", True),
        ("json.decode(req.body)", True),
        ("${req.id}", False),
        ("req.com", True),
        ("see req.id", False),
        ("request", False),
    ],
)
def test_text_that_looks_like_an_expression_is_warned_of(text: str, warned: bool) -> None:
    runtime = Runtime(stores())
    runtime.template(text)
    assert [problem.severity for problem in runtime.problems] == (["warning"] if warned else [])


def test_everything_of_a_request_that_says_nothing_is_empty() -> None:
    ctx = Context({**http_scope(), "headers": [], "client": None, "server": None}, nothing)
    assert evaluated("req.user_agent.name + req.location + req.url.user_password + endpoint.id", Q, ctx) == ""
