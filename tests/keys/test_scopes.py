from __future__ import annotations

import pytest

from ai_gateway_mw.keys import Scope, permits, scope_for


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/models", Scope.READ),
        ("HEAD", "/v1/models", Scope.READ),
        ("GET", "/models", Scope.READ),
        ("GET", "/v1/v1/models/gpt-4o", Scope.READ),
        ("GET", "/v1/models/ft:gpt-4o:org::id", Scope.READ),
        ("GET", "/v1beta/models/gemini-2.5-pro", Scope.READ),
        ("DELETE", "/v1/models/ft:gpt-4o:org::id", Scope.FULL),
        ("POST", "/v1/models", Scope.FULL),
        ("POST", "/v1/chat/completions", Scope.CHAT),
        ("POST", "/chat/completions", Scope.CHAT),
        ("POST", "/v1/v1/chat/completions", Scope.CHAT),
        ("POST", "/v1/completions", Scope.CHAT),
        ("POST", "/v1/embeddings", Scope.CHAT),
        ("POST", "/v1/responses", Scope.CHAT),
        ("GET", "/v1/responses/resp_1/input_items", Scope.CHAT),
        ("POST", "/v1/messages", Scope.CHAT),
        ("POST", "/v1/messages/count_tokens", Scope.CHAT),
        ("POST", "/v1/messages/batches", Scope.FULL),
        ("GET", "/v1/messages/batches/msgbatch_1/results", Scope.FULL),
        ("POST", "/v1beta/models/gemini-2.5-pro:generateContent", Scope.CHAT),
        ("POST", "/v1beta/models/gemini-embedding-001:batchEmbedContents", Scope.CHAT),
        ("GET", "/v1beta/models/gemini-2.5-pro:streamGenerateContent", Scope.CHAT),
        ("POST", "/v1/models/gemini-2.5-pro:countTokens", Scope.CHAT),
        ("POST", "/v1beta/models/gemini-2.5-pro:predictLongRunning", Scope.FULL),
        ("POST", "/v1/images/generations", Scope.FULL),
        ("GET", "/v1/files", Scope.FULL),
        ("POST", "/v1/batches", Scope.FULL),
        ("GET", "/v1/unheard-of", Scope.FULL),
        ("POST", "/v1/chat/completionsx", Scope.FULL),
        ("GET", "/modelsx", Scope.FULL),
        ("GET", "/admin", Scope.ADMIN),
        ("GET", "/admin/api/v1/keys", Scope.ADMIN),
        ("GET", "/administrators", Scope.FULL),
        ("GET", "/", Scope.FULL),
        ("GET", "", Scope.FULL),
    ],
)
def test_a_path_needs_its_scope(method: str, path: str, scope: Scope) -> None:
    assert scope_for(method, path) is scope


@pytest.mark.parametrize(
    ("held", "permitted"),
    [
        ((), ""),
        (("read",), "read"),
        (("chat",), "chat"),
        (("read", "chat"), "read chat"),
        (("full",), "read chat full"),
        (("admin",), "admin"),
        (("unheard-of",), ""),
    ],
)
def test_a_scope_permits_itself_and_full_all_but_admin(held: tuple[str, ...], permitted: str) -> None:
    assert " ".join(scope for scope in Scope if permits(held, scope)) == permitted
