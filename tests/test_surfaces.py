from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest

from ai_gateway_mw.errors import AmbiguousPath
from ai_gateway_mw.surfaces import Route, route_of

# path below /v1, format, task, surface
NAMED = [
    ("/chat/completions", "openai", "generate", "chat-completions"),
    ("/completions", "openai", "generate", None),
    ("/embeddings", "openai", "generate", None),
    ("/responses", "openai", "generate", "responses"),
    ("/responses/resp_1", "openai", "resource", None),
    ("/responses/resp_1/input_items", "openai", "resource", None),
    ("/models", "openai", "list-models", None),
    ("/messages", "anthropic", "generate", "messages"),
    ("/messages/count_tokens", "anthropic", "generate", None),
    ("/messages/batches", "anthropic", "resource", None),
    ("/messages/batches/b1/results", "anthropic", "resource", None),
    ("/images/generations", "openai", "generate", None),
    ("/images/edits", "openai", "generate", None),
    ("/audio/transcriptions", "openai", "generate", None),
    ("/audio/speech", "openai", "generate", None),
    ("/moderations", "openai", "generate", None),
    ("/files", "openai", "resource", None),
    ("/files/file-1/content", "openai", "resource", None),
    ("/batches", "openai", "resource", None),
    ("/batches/b1/cancel", "openai", "resource", None),
    ("/rerank", "openai", "generate", None),
]
PREFIXES = [
    pytest.param("/v1", id="v1"),
    pytest.param("", id="no version"),
    pytest.param("/v1/v1", id="doubled"),
    pytest.param("/v1/v1/v1", id="tripled"),
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("path", "api_format", "task", "surface"), NAMED, ids=[row[0] for row in NAMED])
def test_ai_paths_are_known_under_every_prefix(
    prefix: str, path: str, api_format: str, task: str, surface: str | None
) -> None:
    assert route_of(prefix + path) == Route(api_format, f"/v1{path}", task, surface)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "canonical", "model"),
    [
        ("/v1beta/models/gemini-2.5-flash:generateContent", None, "gemini-2.5-flash"),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent", None, "gemini-2.5-flash"),
        ("/v1beta/models/gemini-2.5-flash:countTokens", None, "gemini-2.5-flash"),
        ("/v1/models/gemini-2.5-flash:generateContent", None, "gemini-2.5-flash"),
        ("/models/gemini-2.5-flash:embedContent", "/v1beta/models/gemini-2.5-flash:embedContent", "gemini-2.5-flash"),
        ("/v1/v1beta/models/g:countTokens", "/v1beta/models/g:countTokens", "g"),
        ("/v1beta/models/google:gemini-2.5-pro:generateContent", None, "google:gemini-2.5-pro"),
        ("/v1beta/models/google/gemini-2.5-pro:generateContent", None, "google/gemini-2.5-pro"),
    ],
)
def test_gemini_paths_name_their_model(path: str, canonical: str | None, model: str) -> None:
    assert route_of(path) == Route("gemini", canonical or path, "generate", None, model)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/models/gpt-4o", Route("openai", "/v1/models/gpt-4o", "list-models", model="gpt-4o")),
        ("/models/gpt-4o", Route("openai", "/v1/models/gpt-4o", "list-models", model="gpt-4o")),
        ("/v1/models/GPT-4o", Route("openai", "/v1/models/GPT-4o", "list-models", model="GPT-4o")),
        ("/v1/models/GPT-5 mini", Route("openai", "/v1/models/GPT-5 mini", "list-models", model="GPT-5 mini")),
        ("/v1/models/openai:gpt-4o", Route("openai", "/v1/models/openai:gpt-4o", "list-models", model="openai:gpt-4o")),
        ("/v1/models/meta/llama-3", Route("openai", "/v1/models/meta/llama-3", "list-models", model="meta/llama-3")),
        ("/v1beta/models", Route("gemini", "/v1beta/models", "list-models")),
        ("/v1beta/models/g", Route("gemini", "/v1beta/models/g", "list-models", model="g")),
    ],
)
def test_model_cards_and_lists(path: str, route: Route) -> None:
    assert route_of(path) == route


@pytest.mark.parametrize(
    "path",
    [
        "/", "", "*", "/v1", "/v1/", "/v1/v1", "/docs", "/openapi.json", "/users/1", "/v2/chat/completions",
        "/v1/chat", "/v1/chats/completions", "/chat/completions/extra", "/api/v1/chat/completions",
        "/v1/images", "/v1/unknown", "/v1models/x", "/v1betamodels/x:generateContent", "/v1beta/files",
        "/healthz", "/static//logo.png", "/a/../b", "/a;b=c", "/x%2fy", "/chat/completionsx",
        "http://169.254.169.254/latest", "http://evil.test/v1/chat/completions",
    ],
)  # fmt: skip
def test_other_paths_are_not_ours(path: str) -> None:
    assert route_of(path) is None


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        pytest.param("/v1//chat/completions", None, id="doubled slash"),
        pytest.param("//v1/chat/completions", None, id="leading double slash"),
        pytest.param("/v1/chat/completions//", None, id="trailing double slash"),
        pytest.param("/v1/chat/../chat/completions", None, id="dot dot"),
        pytest.param("/admin/../v1/chat/completions", None, id="from elsewhere"),
        pytest.param("/v1/./chat/completions", None, id="dot"),
        pytest.param("/v1/chat/completions/.", None, id="dot at the end"),
        pytest.param("/v1/chat/completions/x/..", None, id="dot dot at the end"),
        pytest.param("/v1/chat/completions", b"/v1/chat%2fcompletions", id="encoded slash"),
        pytest.param("/v1/chat/completions", b"/v1/chat%2Fcompletions", id="encoded slash, upper case"),
        pytest.param("/v1/chat/completions", b"/v1/%2e/chat/completions", id="encoded dot"),
        pytest.param("/v1/chat%2fcompletions", b"/v1/chat%252fcompletions", id="twice encoded"),
        pytest.param("/v1/chat\\completions", b"/v1/chat%5ccompletions", id="backslash"),
        pytest.param("/v1/chat/completions;x=1", None, id="parameter"),
        pytest.param("/v1/chat;x/completions", None, id="parameter within"),
        pytest.param("/v1/chat/completions;x", b"/v1/chat/completions%3bx", id="encoded semicolon"),
        pytest.param("/v1/chat/completions\0", b"/v1/chat/completions%00", id="NUL"),
        pytest.param("/v1/chat/completions\n", b"/v1/chat/completions%0a", id="line feed"),
        pytest.param("/v1/chat/completions\t", b"/v1/chat/completions%09", id="tab"),
        pytest.param("/v1/chat/completions ", b"/v1/chat/completions%20", id="blank"),
        pytest.param("/v1/chat/completions/", None, id="trailing slash"),
        pytest.param("/v1/chat/completions.", None, id="trailing dot"),
        pytest.param("/V1/chat/completions", None, id="upper-case version"),
        pytest.param("/v1/Chat/Completions", None, id="mixed case"),
        pytest.param("/V1//Messages/", None, id="several at once"),
        pytest.param("/v1/messages/", None, id="anthropic"),
        pytest.param("/v1/models/", None, id="models"),
        pytest.param("/v1/models/../files", None, id="out of models"),
        pytest.param("/v1beta/models/x/../y:generateContent", None, id="gemini"),
        pytest.param(
            "/v1beta/models/x%2fy:generateContent", b"/v1beta/models/x%252fy:generateContent", id="in a model"
        ),
        pytest.param("/v1/files/a\nb", b"/v1/files/a%0ab", id="control character in an id"),
    ],
)
def test_paths_that_two_servers_could_read_in_two_ways_are_refused(path: str, raw: bytes | None) -> None:
    with pytest.raises(AmbiguousPath):
        route_of(path, raw)


def test_a_letter_sent_percent_encoded_is_that_letter() -> None:
    assert route_of("/v1/chat/completions", b"/v1/chat/completion%73") == route_of("/v1/chat/completions")


@pytest.mark.parametrize(
    "path",
    ["/v1" * 30_000 + "/models", "/models/" + "a:" * 30_000, "/v1/models/" + ":a" * 30_000, "/a" * 30_000],
    ids=["versions", "colons", "methods", "segments"],
)
def test_long_paths_are_read_in_linear_time(path: str) -> None:
    route_of(path)  # quadratic ones take minutes, and the timeout says so


def test_a_models_id_may_come_with_its_slash_escaped() -> None:
    route = route_of("/v1/models/meta/llama-3", b"/v1/models/meta%2Fllama-3")
    assert route is not None
    assert route.model == "meta/llama-3"


@pytest.mark.parametrize("raw", [b"/v1/models/meta%2F..%2Ffiles", b"/v1/models/%2Ffiles"])
def test_an_escaped_slash_in_a_models_id_does_not_lead_out_of_it(raw: bytes) -> None:
    with pytest.raises(AmbiguousPath):
        route_of(unquote_to_bytes(raw).decode(), raw)
