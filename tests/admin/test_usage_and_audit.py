from __future__ import annotations

import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from ai_gateway_mw.audit import Actor, Event, Happening
from ai_gateway_mw.usage import Batch, CallerRow, UsageRow
from tests.admin.conftest import TOKEN, Plane
from tests.asgi import Exchange
from tests.gateways import bearer

pytestmark = pytest.mark.anyio

DAY = (datetime(2027, 1, 31, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
AT = DAY * 86_400.0 + 3600


def used(key: str, model: str = "gpt-4o", *, day: int = DAY, requests: int = 2, errors: int = 1) -> UsageRow:
    values: dict[str, Any] = {"input_tokens": 10, "output_tokens": 5, "cached_tokens": 0, "unpriced": 0}
    return UsageRow(
        key_id=key,
        day=day,
        provider="openai",
        model=model,
        requests=requests,
        errors=errors,
        cost_nano=2_500_000,
        first=day * 86_400.0,
        last=day * 86_400.0 + 60,
        **values,
    )


# Usage ------------------------------------------------------------------------------------------------------------


async def test_usage_by_key_day_and_model(plane: Plane) -> None:
    one, two = (await plane.key("a"))["key"]["id"], (await plane.key("b"))["key"]["id"]
    rows = [used(one), used(one, day=DAY - 1), used(two, "gpt-4o-mini")]
    await plane.services.usage.add(Batch(tuple(rows), ()))
    by_key = (await plane.good("GET", "/usage/keys"))["usage"]
    assert [(row["key"], row["requests"], row["cost"]) for row in by_key] == [(one, 4, "0.005"), (two, 2, "0.0025")]
    by_day = (await plane.good("GET", f"/usage/days?key={one}"))["usage"]
    assert [row["day"] for row in by_day] == ["2027-01-30", "2027-01-31"]
    by_model = (await plane.good("GET", "/usage/models?since=2027-01-31&until=2027-01-31"))["usage"]
    assert [(row["provider"], row["model"], row["requests"]) for row in by_model] == [
        ("openai", "gpt-4o", 2),
        ("openai", "gpt-4o-mini", 2),
    ]
    shown = await plane.good("GET", f"/keys/{one}")
    assert (shown["usage"]["requests"], shown["usage"]["error_rate"]) == (4, 0.5)
    assert shown["usage"]["last_used"] == "2027-01-31T00:01:00.000Z"


@pytest.mark.parametrize(
    ("query", "field"),
    [("since=2027-13-01", "since"), ("since=0", "since"), ("until=2027-01-31T00:00:00Z", "until"), ("key=x", "key")],
)
async def test_what_is_wrong_with_a_question_about_usage_is_named(plane: Plane, query: str, field: str) -> None:
    for path in ("/usage/keys", "/usage/days", "/usage/models"):
        assert await plane.refusal("GET", f"{path}?{query}") == (422, "invalid_field", field)


async def test_who_used_a_key_and_what_came_of_it(plane: Plane) -> None:
    key = (await plane.key())["key"]["id"]
    agent = "curl\x1b[31m\r\n<script>"
    caller = CallerRow(key_id=key, address="192.0.2.1", user_agent=agent, requests=3, first=AT, last=AT)
    await plane.services.usage.add(Batch((used(key),), (caller,)))
    response = await plane("GET", f"/keys/{key}/callers")
    assert response.json()["callers"][0] == {
        "address": "192.0.2.1",
        "user_agent": agent,
        "requests": 3,
        "first_seen": "2027-01-31T01:00:00.000Z",
        "last_seen": "2027-01-31T01:00:00.000Z",
    }
    assert b"\x1b" not in response.body
    assert b"\n" not in response.body
    assert (await plane.good("GET", f"/keys/{key}/callers?since=2027-01-31T02:00:00%2B00:00"))["callers"] == []
    report = await plane.good("GET", f"/keys/{key}/incident?since=2027-01-31T00:30:00Z")
    assert (report["requests"], len(report["models"]), len(report["callers"])) == (2, 1, 1)
    assert await plane.refusal("GET", f"/keys/{key}/callers?since=yesterday") == (422, "invalid_field", "since")


# Audit ------------------------------------------------------------------------------------------------------------


async def test_the_log_is_read_page_by_page(plane: Plane) -> None:
    for number in range(4):
        await plane.key(f"a{number}")
    seen, before = list[int](), ""
    while True:
        page = await plane.good("GET", f"/audit?limit=2{before}")
        seen += [entry["seq"] for entry in page["entries"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == [5, 4, 3, 2, 1]


async def test_the_log_is_asked_for_events_keys_and_times(plane: Plane) -> None:
    one, two = (await plane.key("a"))["key"]["id"], (await plane.key("b"))["key"]["id"]
    await plane.good("POST", f"/keys/{one}/revoke")

    async def events(query: str) -> list[str]:
        return [entry["event"] for entry in (await plane.good("GET", f"/audit?{query}"))["entries"]]

    assert await events("event=key.revoked") == ["key.revoked"]
    assert await events(f"event=key&key={two}") == ["key.created"]
    assert await events("event=admin") == ["admin.login"]
    assert await events("since=2999-01-01T00:00:00Z") == []
    entry = (await plane.good("GET", f"/audit?key={one}&limit=1"))["entries"][0]
    assert (entry["actor"], entry["details"]["after"]["state"]) == ("admin", "revoked")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(("event=nothing", "event"), ("event=", "event"), ("key=admin", "key"), ("since=1700000000", "since")),
        *(("before=0", "before"), ("before=x", "before"), ("before=99999999999999999999", "before"), ("x=", "x")),
    ],
)
async def test_what_is_wrong_with_a_question_about_the_log_is_named(plane: Plane, query: str, field: str) -> None:
    assert await plane.refusal("GET", f"/audit?{query}") == (422, "invalid_field", field)


async def test_the_log_is_verified_also_against_a_saved_head(plane: Plane) -> None:
    await plane.key("a")
    verdict = await plane.good("GET", "/audit/verify")
    assert (verdict["whole"], verdict["faults"]) == (True, [])
    await plane.key("b")
    assert (await plane.good("GET", f"/audit/verify?head={verdict['head']}"))["whole"]
    verdict = await plane.good("GET", f"/audit/verify?head=99:{'ab' * 32}")
    assert (verdict["whole"], verdict["faults"][0]["seq"]) == (False, 4)
    assert await plane.refusal("GET", "/audit/verify?head=x") == (422, "invalid_field", "head")


async def test_the_log_is_exported_line_by_line(plane: Plane) -> None:
    await plane.key("a")
    actor = Actor("cli:\r\n\x1b[2J", "192.0.2.1")
    happening = Happening(Event.SECRET_SET, actor, "a\nb", {"name": "\u2028\x00"})
    await plane.services.audit.write(*[happening] * 500)
    response = await plane("GET", "/audit/export")
    assert response.headers["content-type"] == "application/jsonl"
    lines = response.body.split(b"\n")
    assert [json.loads(line)["seq"] for line in lines[:-1]] == list(range(1, 503))
    assert lines[-1] == b""
    assert response.body.isascii()
    assert b"\x1b" not in response.body
    response = await plane("GET", "/audit/export?event=key")
    assert response.body.count(b"\n") == 1
    assert (await plane("GET", "/audit/export?since=2999-01-01T00:00:00Z")).body == b""


async def test_few_go_through_the_whole_log_at_once(plane: Plane) -> None:
    await plane.key("a")
    async with AsyncExitStack() as stack:
        slow = []
        for _ in range(2):
            more: Any = {"path": "/admin/api/v1/audit/export", "headers": bearer(TOKEN), "window": 1}
            slow.append(await stack.enter_async_context(Exchange(plane.app, **more)))
            await slow[-1].start()
        for path in ("/audit/export", "/audit/verify"):
            response = await plane("GET", path)
            assert (response.status, response.json()["error"]["code"]) == (503, "overloaded")
            assert response.headers["retry-after"] == "1"
        assert [(await each.rest()).count(b"\n") for each in slow] == [2, 2]
    assert (await plane("GET", "/audit/export")).status == 200


async def test_an_export_whose_client_leaves_frees_its_place(plane: Plane) -> None:
    for _ in range(3):
        more: Any = {"path": "/admin/api/v1/audit/export", "headers": bearer(TOKEN), "window": 1}
        async with Exchange(plane.app, **more) as exchange:
            await exchange.start()
    pool: Any = plane.services.installation.database._opened().pool
    assert pool.checkedout() == 0
    assert (await plane("GET", "/audit/export")).status == 200
