"""The sums in the database: what is added is what is told, in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ai_gateway_mw.database import Installation, database_of
from ai_gateway_mw.errors import DatabaseUnavailable
from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.usage import Amount, Batch, CallerRow, Spent, UsageRow, incident
from ai_gateway_mw.usage.store import UsageStore

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
AT = NOON.timestamp()
DAY = 86_400
TODAY = NOON.date()


def used(
    key_id: str = "key_1", at: float = AT, *, provider: str = "openai", model: str = "o1", **sums: int
) -> UsageRow:
    return UsageRow(key_id, int(at // DAY), provider, model, at, at, **{"requests": 1, **sums})


def called(
    address: str, at: float = AT, *, key_id: str = "key_1", user_agent: str = "curl", requests: int = 1
) -> CallerRow:
    return CallerRow(key_id, address, user_agent, at, at, requests)


async def stored(database: Installation, *rows: UsageRow, callers: tuple[CallerRow, ...] = ()) -> UsageStore:
    store = UsageStore(database.database)
    await store.add(Batch(rows, callers))
    return store


async def test_what_is_added_again_is_added_up(database: Installation) -> None:
    sums = {
        "errors": 1,
        "input_tokens": 100,
        "output_tokens": 20,
        "cached_tokens": 30,
        "cost_nano": 4_000,
        "unpriced": 1,
    }
    store = await stored(database, used(requests=4, **sums))
    await store.add(Batch((used(at=AT + 60, requests=4, **sums),)))
    await store.add(Batch((used(at=AT - 60, requests=2),)))

    (found,) = await store.summary()

    assert found.as_json() == {
        "key": "key_1",
        "requests": 10,
        "errors": 2,
        "error_rate": 0.2,
        "input_tokens": 200,
        "output_tokens": 40,
        "cached_tokens": 60,
        "cost": "0.000008",
        "unpriced": 2,
        "first_used": "2026-01-31T11:59:00.000Z",
        "last_used": "2026-01-31T12:01:00.000Z",
    }


async def test_a_summary_is_of_these_keys_and_days(database: Installation) -> None:
    store = await stored(
        database, *(used(key, AT + day * DAY) for key in ("key_1", "key_2", "key_3") for day in range(4))
    )

    found = await store.summary(["key_1", "key_3", "key_4"], date(2026, 2, 1), date(2026, 2, 2))

    assert [(each.key_id, each.figures.requests) for each in found] == [("key_1", 2), ("key_3", 2)]
    assert await store.summary([]) == ()


async def test_days_and_models_are_told_apart(database: Installation) -> None:
    rows = (used(), used(model="o3", requests=2), used(provider="azure", requests=3), used(at=AT + DAY, requests=4))
    store = await stored(database, *rows, used("key_2", requests=100))

    days = await store.by_day(["key_1"])
    models = await store.by_model(["key_1"])

    assert [(each.day, each.figures.requests) for each in days] == [("2026-01-31", 6), ("2026-02-01", 4)]
    assert [(each.provider, each.model, each.figures.requests) for each in models] == [
        ("azure", "o1", 3),
        ("openai", "o1", 5),
        ("openai", "o3", 2),
    ]


async def test_what_counts_against_budgets_is_of_today_and_of_this_month(database: Installation) -> None:
    cost = {"input_tokens": 10, "output_tokens": 5, "cost_nano": 7}
    times = (AT, AT, AT - 10 * DAY, AT - 31 * DAY, AT + DAY)
    store = UsageStore(database.database)
    for at in times:
        await store.add(Batch((used(at=at, **cost), used("key_2", at=AT - DAY, **cost))))

    spent = await store.spent(TODAY)

    assert spent == {
        "key_1": Spent(day=Amount(2, 30, 14), month=Amount(3, 45, 21)),
        "key_2": Spent(day=Amount(0, 0, 0), month=Amount(5, 75, 35)),
    }


async def test_callers_are_told_with_their_times(database: Installation) -> None:
    store = await stored(database, callers=(called("10.0.0.1"), called("10.0.0.2", AT + 5)))
    await store.add(Batch((), (called("10.0.0.1", AT + 9), called("10.0.0.1", AT - 9, user_agent="openai"))))
    await store.add(Batch((), (called("10.9.9.9", key_id="key_2"),)))

    found = await store.callers("key_1")

    assert [(each.address, each.user_agent, each.requests) for each in found] == [
        ("10.0.0.1", "curl", 2),
        ("10.0.0.2", "curl", 1),
        ("10.0.0.1", "openai", 1),
    ]
    assert found[0].as_json()["first_seen"] == "2026-01-31T12:00:00.000Z"
    assert found[0].as_json()["last_seen"] == "2026-01-31T12:00:09.000Z"


async def test_callers_since_a_time_are_those_that_called_then_or_later(database: Installation) -> None:
    store = await stored(database, callers=(called("10.0.0.1", AT - 1), called("10.0.0.2"), called("10.0.0.3", AT + 1)))
    assert [each.address for each in await store.callers("key_1", NOON)] == ["10.0.0.3", "10.0.0.2"]


async def test_sums_are_exact_beyond_what_a_float_holds(database: Installation) -> None:
    much = 2**53 + 1
    store = await stored(database, used(cost_nano=much), used(model="o3", cost_nano=much))
    assert (await store.summary())[0].figures.cost_nano == 2 * much


async def test_a_batch_of_many_rows_is_stored_whole(database: Installation) -> None:
    rows = tuple(used(f"key_{number}") for number in range(1_201))
    store = await stored(database, *rows, callers=tuple(called(str(number)) for number in range(1_201)))
    assert len(await store.summary()) == len(await store.callers("key_1")) == 1_201


async def test_a_batch_is_stored_whole_or_not_at_all(database: Installation) -> None:
    rows = tuple(used(f"key_{number:04}") for number in range(800))
    broken = called(None)  # type: ignore[arg-type]
    store = UsageStore(database.database)

    with pytest.raises(Exception, match="address"):
        await store.add(Batch(rows, (broken,)))

    assert await store.summary() == ()


async def test_writers_that_meet_lose_nothing_and_do_not_wait_for_each_other_for_ever(database: Installation) -> None:
    store = UsageStore(database.database)
    rows = [used(f"key_{number}") for number in range(20)]
    there, back = Batch(tuple(rows)), Batch(tuple(reversed(rows)))

    async with asyncio.TaskGroup() as tasks:
        for batch in (there, back) * 5:
            tasks.create_task(store.add(batch))

    assert {each.figures.requests for each in await store.summary()} == {10}


async def test_an_incident_holds_all_that_is_known_of_a_key(database: Installation) -> None:
    rows = (used(at=AT - DAY), used(cost_nano=2_500_000_000), used(model="o3", at=AT + 60, errors=1), used("key_2"))
    store = await stored(database, *rows, callers=(called("10.0.0.1", AT - DAY), called("198.51.100.7", AT + 60)))

    report = (await incident(store, "key_1", NOON)).as_json()

    assert report["key"] == "key_1"
    assert report["since"] == "2026-01-31T12:00:00.000Z"
    assert (report["requests"], report["errors"], report["cost"]) == (2, 1, "2.50")
    assert (report["first_used"], report["last_used"]) == ("2026-01-31T12:00:00.000Z", "2026-01-31T12:01:00.000Z")
    assert [(each["model"], each["requests"]) for each in report["models"]] == [("o1", 1), ("o3", 1)]
    assert [each["address"] for each in report["callers"]] == ["198.51.100.7"]


async def test_an_incident_of_a_key_that_was_never_used_is_empty(database: Installation) -> None:
    report = (await incident(UsageStore(database.database), "key_1")).as_json()
    assert (report["requests"], report["cost"], report["last_used"]) == (0, "0.00", None)
    assert report["models"] == report["callers"] == []


async def test_a_database_that_is_away_is_an_error_of_ours() -> None:
    store = UsageStore(database_of(Path("/nowhere"), Secret("postgresql://nobody@/none?host=/nowhere", "DATABASE_URL")))
    with pytest.raises(DatabaseUnavailable):
        await store.add(Batch((used(),)))
