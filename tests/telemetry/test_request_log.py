from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.asgi import request
from tests.gateways import CHAT, CHAT_PATH, KEY, Provider, actions, bearer, gateway, request_log

pytestmark = pytest.mark.anyio

KEYS = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('o', 'k')}"}]}]}
VAULTS = {"o": {"k": "sk-operator-secret"}}


async def test_one_record_says_what_became_of_a_request(caplog: pytest.LogCaptureFixture) -> None:
    log = request_log(caplog)
    app = gateway(actions(("ai-gateway", KEYS)), vaults=VAULTS).app
    response = await request(app, "POST", CHAT_PATH + "?key=x", json=CHAT)
    (record,) = log()
    assert record["request"] == response.headers["x-request-id"]
    assert (record["method"], record["path"], record["status"]) == ("POST", CHAT_PATH, 200)
    assert (record["provider"], record["model"]) == ("openai", "gpt-4o")
    assert record["key"].startswith("sha256:")
    assert record["attempts"] == ["[200] openai/gpt-4o: accepted"]
    assert record["duration_ms"] >= 0
    assert "refused" not in record


async def test_no_record_holds_a_credential_a_query_or_a_body(caplog: pytest.LogCaptureFixture) -> None:
    request_log(caplog)
    caplog.set_level(logging.DEBUG)
    app = gateway(actions(("ai-gateway", KEYS)), vaults=VAULTS, provider=Provider(500)).app
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a private word"}]}
    await request(app, "POST", CHAT_PATH + "?token=in-the-query", headers=bearer(KEY), json=chat)
    for text in ("sk-operator-secret", KEY, "in-the-query", "a private word"):
        assert text not in caplog.text


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/models/a%0d%0aforged", {}),
        ("/v1/models/%1b[31m", {}),
        ("/v1/models/%e2%80%a8", {}),
        ("/v1/models/x", {"x-forwarded-for": "1.2.3.4\x1b[2J"}),
        ("/v1/models/%ff%fe", {}),
    ],
)
async def test_a_client_cannot_write_into_the_log(path: str, headers: Any, caplog: pytest.LogCaptureFixture) -> None:
    request_log(caplog)
    await request(gateway(actions("deny", expressions=["conn.client_ip == 'x'"])).app, path=path, headers=headers)
    for record in caplog.records:
        line = record.getMessage()
        assert line.isascii()
        assert line.isprintable()


async def test_a_record_is_one_line_of_json(caplog: pytest.LogCaptureFixture) -> None:
    request_log(caplog)
    await request(gateway(actions("deny")).app, "WEIRD\r\n", "/v1/models")
    lines = [record.getMessage() for record in caplog.records if record.name == "ai_gateway_mw.requests"]
    assert [json.loads(line)["status"] for line in lines] == [403]


async def test_nothing_is_written_where_nobody_reads(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ai_gateway_mw.requests")
    await request(gateway(actions("deny")).app, path="/v1/models")
    assert not [record for record in caplog.records if record.name == "ai_gateway_mw.requests"]
