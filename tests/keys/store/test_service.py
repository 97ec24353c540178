"""What may be done to keys, in SQLite and in PostgreSQL: what is written, what is refused, and what is never halved."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw.audit import Actor
from ai_gateway_mw.database import audit
from ai_gateway_mw.errors import DatabaseUnavailable
from ai_gateway_mw.keys import digest, well_formed
from ai_gateway_mw.keys.store import KeyChanges, KeyNotFound, KeyRecord, KeyRefused, KeyService, NewKey, State
from tests.installations import ALICE, NOON, Clock, Kept, environment_of, other_process

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
LATER = NOON + timedelta(days=30)


async def made(kept: Kept, name: str = "production-api", **rules: Any) -> KeyRecord:
    return (await kept.keys.create(NewKey(name=name, **rules), ALICE)).record


async def refused(kept: Kept, doing: Any) -> KeyRefused:
    """The refusal; nothing was written for it."""
    before = await kept.rows(), await kept.rows(audit)
    with pytest.raises(KeyRefused) as caught:
        await doing
    assert (await kept.rows(), await kept.rows(audit)) == before
    return caught.value


async def test_a_new_key_is_stored_as_it_was_asked_for(kept: Kept) -> None:
    rules = {
        "scopes": ("chat", "read"),
        "expires_at": LATER,
        "allowed_ips": ("10.0.0.0/8",),
        "allowed_models": ("gpt-*", "!gpt-4*"),
        "allowed_providers": (),
        "limits": {"requests_per_minute": 5, "usd_per_day": 2.5},
        "metadata": {"team": "search"},
    }
    created = await kept.keys.create(NewKey(name="staging-search-api", **rules), ALICE)

    assert await kept.keys.get(created.record.id) == created.record
    record = created.record
    assert (record.name, record.environment, record.lineage) == ("staging-search-api", "staging", record.id)
    assert {name: getattr(record, name) for name in rules} == rules
    assert (record.created_at, record.state(NOON)) == (NOON, State.ACTIVE)
    assert await kept.events() == [("key.created", record.id)]


async def test_the_text_of_a_key_is_shown_once_and_stored_as_a_digest(kept: Kept) -> None:
    created = await kept.keys.create(NewKey(name="a"), ALICE)
    assert well_formed(created.text)
    assert created.record.digest == digest(created.text, kept.installation.pepper)
    assert created.record.masked == f"gw_sk_{created.text[6:10]}…{created.text[-4:]}"
    stored = repr((await kept.rows(), await kept.rows(audit), created, created.record))
    assert created.text not in stored
    assert created.text[10:-4] not in stored


async def test_an_installation_does_not_show_the_keys_that_it_derives(kept: Kept) -> None:
    shown = repr(kept.installation)
    assert repr(kept.installation.pepper) not in shown
    assert repr(kept.installation.audit_key) not in shown


@pytest.mark.parametrize(
    ("name", "given", "environment"),
    [
        ("production-api-primary", "", "production"),
        ("ci-tests", "", "ci"),
        ("production-api", "staging", "staging"),
        ("team-api", "", ""),
        ("productionapi", "", ""),
    ],
)
async def test_the_environment_is_what_the_name_begins_with(
    kept: Kept, name: str, given: str, environment: str
) -> None:
    assert (await made(kept, name, environment=given)).environment == environment


@pytest.mark.parametrize("allowed", [None, (), ("x*",)], ids=["all", "nothing", "some"])
async def test_a_list_that_is_omitted_stays_another_thing_than_an_empty_one(kept: Kept, allowed: Any) -> None:
    record = await made(kept, allowed_models=allowed, allowed_providers=allowed)
    found = await kept.keys.get(record.id)
    assert (found.allowed_models, found.allowed_providers) == (allowed, allowed)


@pytest.mark.parametrize("clash", ["create", "update"], ids=["a new key", "a key that gets another name"])
async def test_no_two_keys_in_use_have_one_name(kept: Kept, clash: str) -> None:
    await made(kept, "taken")
    other = await made(kept, "other")
    doing = {
        "create": lambda: kept.keys.create(NewKey(name="taken"), ALICE),
        "update": lambda: kept.keys.update(other.id, KeyChanges(name="taken"), ALICE),
    }[clash]
    error = await refused(kept, doing())
    assert (error.field, "already" in str(error)) == ("name", True)


async def test_the_name_of_a_revoked_key_is_free_again(kept: Kept) -> None:
    first = await made(kept, "a")
    await kept.keys.revoke("a", ALICE)
    kept.clock.move(1)
    second = await made(kept, "a")
    assert (await kept.keys.get("a")).id == second.id
    assert (await kept.keys.get(first.id)).state(NOON) is State.REVOKED


@pytest.mark.parametrize("ahead", [timedelta(0), -TICK, -HOUR], ids=["now", "just now", "long ago"])
async def test_a_key_that_would_have_expired_is_refused(kept: Kept, ahead: timedelta) -> None:
    record = await made(kept, "kept")
    creating = kept.keys.create(NewKey(name="a", expires_at=NOON + ahead), ALICE)
    assert (await refused(kept, creating)).field == "expires_at"
    updating = kept.keys.update(record.id, KeyChanges(expires_at=NOON + ahead), ALICE)
    assert (await refused(kept, updating)).field == "expires_at"


@pytest.mark.parametrize("field", ["name", "scopes"])
async def test_what_a_key_needs_is_not_taken_away(kept: Kept, field: str) -> None:
    await made(kept, "a")
    error = await refused(kept, kept.keys.update("a", KeyChanges.model_validate({field: None}), ALICE))
    assert error.field == field


@pytest.mark.parametrize("grace", [-TICK, timedelta(days=90) + TICK], ids=["negative", "too long"])
async def test_a_grace_has_its_bounds(kept: Kept, grace: timedelta) -> None:
    await made(kept, "a")
    assert (await refused(kept, kept.keys.rotate("a", ALICE, grace=grace))).field == "grace"


@pytest.mark.parametrize(
    "wanted", ["", "key_", "nobody", "' OR 1=1 --", "a\0b", "\ud800", "key_" + "f" * 10_000, "\n"], ids=ascii
)
async def test_a_key_that_there_is_not_is_not_found(kept: Kept, wanted: str) -> None:
    await made(kept, "a")
    for doing in (
        kept.keys.get(wanted),
        kept.keys.update(wanted, KeyChanges(name="b"), ALICE),
        kept.keys.rotate(wanted, ALICE),
        kept.keys.revoke(wanted, ALICE),
    ):
        with pytest.raises(KeyNotFound):
            await doing
    assert len(await kept.events()) == 1


async def test_only_what_is_given_is_changed(kept: Kept) -> None:
    before = await made(kept, allowed_models=("a",), metadata={"team": "x"}, expires_at=LATER)
    after = await kept.keys.update(before.id, KeyChanges(allowed_models=None, metadata=None, scopes=("read",)), ALICE)
    assert await kept.keys.get(before.id) == after
    assert (after.allowed_models, after.metadata, after.scopes) == (None, {}, ("read",))
    assert (after.expires_at, after.name, after.digest) == (LATER, before.name, before.digest)
    details = (await kept.log.latest())[0].as_json()["details"]
    assert details["before"] == {"allowed_models": ["a"], "metadata": {"team": "x"}, "scopes": ["full"]}
    assert details["after"] == {"allowed_models": None, "metadata": {}, "scopes": ["read"]}


async def test_nothing_is_written_where_nothing_changes(kept: Kept) -> None:
    record = await made(kept, scopes=("chat",), allowed_ips=("10.0.0.0/8",))
    before = await kept.rows()
    await kept.keys.update(record.id, KeyChanges(scopes=("chat", "chat"), allowed_ips=("10.1.2.3/8",)), ALICE)
    await kept.keys.update(record.id, KeyChanges(), ALICE)
    assert await kept.rows() == before
    assert await kept.events() == [("key.created", record.id)]


async def test_an_expiry_counts_to_the_microsecond(kept: Kept) -> None:
    expiry = NOON + HOUR + TICK
    record = await kept.keys.get((await made(kept, expires_at=expiry)).id)
    assert record.expires_at == expiry
    assert [record.works(expiry + by) for by in (-TICK, timedelta(0), TICK)] == [True, False, False]
    assert record.as_gateway_key().works(lambda: expiry - TICK)
    assert not record.as_gateway_key().works(lambda: expiry)


@pytest.mark.parametrize("grace", [timedelta(0), TICK, HOUR, timedelta(days=90)], ids=str)
async def test_both_keys_work_for_exactly_the_grace(kept: Kept, grace: timedelta) -> None:
    old = await made(kept, "a")
    new = (await kept.keys.rotate("a", ALICE, grace=grace)).record
    old, end = await kept.keys.get(old.id), NOON + grace
    assert [old.works(end + by) for by in (-TICK, timedelta(0))] == [True, False]
    assert (old.state(end - TICK), old.state(end)) == (State.RETIRING, State.RETIRED)
    assert new.works(end)
    assert old.as_gateway_key().expires == end


@pytest.mark.parametrize(("grace", "at_once"), [(timedelta(0), True), (TICK, False), (HOUR, False)], ids=str)
async def test_what_a_key_has_open_ends_with_it_where_there_is_no_grace(
    kept: Kept, grace: timedelta, at_once: bool
) -> None:
    old = await made(kept, "a")
    assert not await kept.keys.ended_at_once(old.id)
    await kept.keys.rotate("a", ALICE, grace=grace)
    kept.clock.move(hours=2)
    assert await kept.keys.ended_at_once(old.id) is at_once
    await kept.keys.revoke(old.id, ALICE)
    assert await kept.keys.ended_at_once(old.id)


async def test_a_key_that_expires_within_its_grace_works_until_then(kept: Kept) -> None:
    old = await made(kept, "a", expires_at=NOON + HOUR)
    kept.clock.move(minutes=30)
    new = (await kept.keys.rotate("a", ALICE, grace=HOUR)).record
    old = await kept.keys.get(old.id)
    assert old.as_gateway_key().expires == NOON + HOUR
    assert old.state(NOON + HOUR) is State.EXPIRED
    assert new.expires_at == kept.clock() + HOUR  # the lifetime begins anew


async def test_a_lifetime_of_centuries_begins_anew(kept: Kept) -> None:
    last = datetime(2999, 12, 31, tzinfo=UTC)
    await made(kept, "a", expires_at=last)
    kept.clock.move(days=900)
    created = await kept.keys.rotate("a", ALICE)
    assert created.record.expires_at == last + timedelta(days=900)
    assert [record.expires_at for record in await kept.keys.page()][1] == created.record.expires_at


async def test_a_successor_has_the_rules_and_the_line_of_the_first(kept: Kept) -> None:
    rules: dict[str, Any] = {
        "scopes": ("chat",),
        "allowed_models": (),
        "metadata": {"team": "x"},
        "limits": {"tokens_per_day": 100},
    }
    first = await made(kept, "a", environment="east", **rules)
    chain = [first]
    for _ in range(3):
        kept.clock.move(1)
        chain.append((await kept.keys.rotate("a", ALICE, grace=HOUR)).record)
    found = [await kept.keys.get(record.id) for record in chain]
    assert [record.lineage for record in found] == [first.id] * 4
    assert [record.rotated_from for record in found] == [None, *(record.id for record in chain[:-1])]
    assert [record.rotated_to for record in found] == [*(record.id for record in chain[1:]), None]
    assert [record.state(kept.clock()) for record in found] == [State.RETIRING] * 3 + [State.ACTIVE]
    for record in found:
        assert {name: getattr(record, name) for name in rules} == rules
        assert (record.name, record.environment) == ("a", "east")
    assert (await kept.keys.get("a")).id == chain[-1].id
    assert len({record.digest for record in found}) == 4


@pytest.mark.parametrize("doing", ["update", "rotate", "succeed"])
@pytest.mark.parametrize("state", ["revoked", "expired", "retiring", "retired"])
async def test_what_no_longer_counts_is_left_alone(kept: Kept, doing: str, state: str) -> None:
    record = await made(kept, "a", expires_at=NOON + HOUR)
    if state == "revoked":
        await kept.keys.revoke("a", ALICE)
    elif state == "expired":
        kept.clock.move(hours=1)
    else:
        await kept.keys.rotate("a", ALICE, grace=timedelta(minutes=2))
        kept.clock.move(minutes=1 if state == "retiring" else 2)
    asked = {
        "update": lambda: kept.keys.update(record.id, KeyChanges(name="b"), ALICE),
        "rotate": lambda: kept.keys.rotate(record.id, ALICE),
        "succeed": lambda: kept.keys.revoke(record.id, ALICE, successor=True),
    }[doing]
    assert f"is {state} and cannot be" in str(await refused(kept, asked()))


async def test_a_revoked_key_stays_revoked_since_then(kept: Kept) -> None:
    record = await made(kept, "a")
    kept.clock.move(1)
    at = kept.clock()
    await kept.keys.revoke("a", ALICE)
    kept.clock.move(1)
    again, _ = await kept.keys.revoke(record.id, ALICE)
    assert again.revoked_at == at
    assert len(await kept.events()) == 2
    found, _ = await kept.keys.revoke(record.id, ALICE, compromised=True)
    assert (found.revoked_at, found.compromised) == (at, True)
    assert await kept.keys.get(record.id) == found
    assert len(await kept.events()) == 3


async def test_a_retiring_key_can_be_revoked_and_its_successor_goes_on(kept: Kept) -> None:
    old = await made(kept, "a")
    new = (await kept.keys.rotate("a", ALICE)).record
    await kept.keys.revoke(old.id, ALICE)
    assert (await kept.keys.get(old.id)).state(NOON) is State.REVOKED
    assert (await kept.keys.get("a")) == new


async def test_a_key_is_revoked_and_succeeded_at_once(kept: Kept) -> None:
    old = await made(kept, "a")
    record, created = await kept.keys.revoke("a", ALICE, compromised=True, successor=True)
    assert created is not None
    assert (record.id, record.rotated_to, record.state(NOON)) == (old.id, created.record.id, State.REVOKED)
    assert record == await kept.keys.get(old.id)
    assert (await kept.keys.get("a")).id == created.record.id
    assert [event for event, _ in await kept.events()] == ["key.created", "key.rotated", "key.created", "key.revoked"]


async def test_pages_are_in_the_order_of_making_and_leave_nobody_out(kept: Kept) -> None:
    ids = []
    for number in range(7):
        ids.append((await made(kept, f"k{number}")).id)
        kept.clock.move(0.001)
    seen: list[str] = []
    while page := await kept.keys.page(after=seen[-1] if seen else "", limit=3):
        seen += [record.id for record in page]
    assert seen == ids


@pytest.mark.parametrize("limit", [0, -1, -(10**9)])
async def test_a_page_of_nothing_is_empty(kept: Kept, limit: int) -> None:
    await made(kept)
    assert await kept.keys.page(limit=limit) == []


async def test_a_page_after_what_cannot_be_an_id_is_refused(kept: Kept) -> None:
    assert await kept.keys.page(after="zzz") == []
    with pytest.raises(KeyRefused):
        await kept.keys.page(after="\0")


async def test_the_first_use_of_a_dead_key_is_written_once(kept: Kept) -> None:
    record = await made(kept, "a")
    await kept.keys.revoke("a", ALICE)
    kept.clock.move(1)
    for _ in range(3):
        await kept.keys.note_dead_use(record.id, "203.0.113.9")
        kept.clock.move(1)
    await kept.keys.note_dead_use("key_nobody", "203.0.113.9")
    assert [event for event, _ in await kept.events()] == ["key.created", "key.revoked", "key.refused"]
    entry = (await kept.log.latest())[0]
    assert (entry.actor, entry.address) == (f"key:{record.id}", "203.0.113.9")
    assert (await kept.keys.get(record.id)).dead_use_at == NOON + timedelta(seconds=1)


# ── Both or neither


async def changes(kept: Kept) -> dict[str, Any]:
    record = await made(kept, "a")
    return {
        "create": lambda: kept.keys.create(NewKey(name="b"), ALICE),
        "update": lambda: kept.keys.update("a", KeyChanges(scopes=("read",)), ALICE),
        "rotate": lambda: kept.keys.rotate("a", ALICE),
        "revoke": lambda: kept.keys.revoke("a", ALICE),
        "revoke and succeed": lambda: kept.keys.revoke("a", ALICE, successor=True),
        "dead use": lambda: kept.keys.note_dead_use(record.id, ""),
    }


DOING = ["create", "update", "rotate", "revoke", "revoke and succeed", "dead use"]


@pytest.mark.parametrize("doing", DOING)
@pytest.mark.parametrize("lost", ["audit", "audit_head", "installation"])
async def test_without_its_audit_entry_nothing_changes(kept: Kept, doing: str, lost: str) -> None:
    """Nor without the number that tells other processes of it."""
    asked = (await changes(kept))[doing]
    before = await kept.rows()
    await kept.execute(f"ALTER TABLE {lost} RENAME TO gone")
    with pytest.raises(DatabaseUnavailable):
        await asked()
    await kept.execute(f"ALTER TABLE gone RENAME TO {lost}")
    assert await kept.rows() == before
    assert len(await kept.events()) == 1


@pytest.mark.parametrize("doing", DOING)
async def test_without_the_change_there_is_no_audit_entry(kept: Kept, doing: str) -> None:
    asked = (await changes(kept))[doing]
    before = await kept.rows(audit)
    await kept.execute("ALTER TABLE gateway_keys RENAME TO gone")
    with pytest.raises(DatabaseUnavailable):
        await asked()
    assert await kept.rows(audit) == before


async def test_a_change_that_is_given_up_is_not_written(kept: Kept) -> None:
    """The server ends, or the client of the admin plane leaves, in the middle of it: at any turn of the event loop."""
    await made(kept, "a")
    for turns in range(0, 60, 3):
        task = asyncio.ensure_future(kept.keys.update("a", KeyChanges(metadata={"n": str(turns)}), ALICE))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    record, events = await kept.keys.get("a"), await kept.events()
    written = [entry.as_json()["details"]["after"] for entry in await kept.log.latest()][:1]
    assert len(events) == 1 or written == [{"metadata": record.metadata}]


# ── Two at once


async def at_once(kept: Kept, folder: Path, *commands: tuple[str, ...]) -> list[dict[str, Any]]:
    """What these commands come to in as many processes, at the same time."""
    environment = environment_of(kept.installation)
    async with AsyncExitStack() as stack:
        opened = [stack.enter_async_context(other_process(folder, environment)) for _ in commands]
        others = [await each for each in opened]
        return list(
            await asyncio.gather(*(other.do(*command) for other, command in zip(others, commands, strict=True)))
        )


async def test_of_two_processes_that_rotate_a_key_one_does(kept: Kept, tmp_path: Path) -> None:
    record = await made(kept, "a")
    results = await at_once(kept, tmp_path, ("rotate", "a"), ("rotate", record.id))
    keys = await kept.keys.page()
    done = [result for result in results if "id" in result]
    if len(done) == 2:  # by name the second one found the successor of the first
        assert [key.rotated_from for key in keys] == [None, keys[0].id, keys[1].id]
    else:
        assert len(keys) == 2
        assert "its successor is" in next(result["error"] for result in results if "error" in result)
    assert [key.name for key in keys if key.state(datetime.now(UTC)) is State.ACTIVE] == ["a"]
    assert (await kept.log.verify()).whole


async def test_of_two_processes_that_make_a_key_of_one_name_one_does(kept: Kept, tmp_path: Path) -> None:
    results = await at_once(kept, tmp_path, ("create", "a"), ("create", "a"))
    assert sorted("error" in result for result in results) == [False, True]
    assert len(await kept.keys.page()) == 1
    assert len(await kept.events()) == 1


async def test_a_key_that_is_revoked_while_it_is_rotated_is_dead(kept: Kept, tmp_path: Path) -> None:
    record = await made(kept, "a")
    results = await at_once(kept, tmp_path, ("rotate", record.id), ("revoke", record.id))
    assert "id" in results[1]
    assert (await kept.keys.get(record.id)).state(datetime.now(UTC)) is State.REVOKED
    assert len(await kept.keys.page()) == (1 if "error" in results[0] else 2)
    assert (await kept.log.verify()).whole


async def test_many_changes_at_once_come_one_after_the_other(kept: Kept) -> None:
    first = await made(kept, "a")
    doing = [kept.keys.update("a", KeyChanges(metadata={"n": str(n)}), Actor(f"u{n}")) for n in range(8)]
    await asyncio.gather(*doing, kept.keys.rotate(first.id, ALICE), return_exceptions=True)
    assert (await kept.log.verify()).whole
    rows = await kept.rows()
    assert len({row["revision"] for row in rows}) == len(rows)


async def test_what_is_added_at_once_is_all_there(kept: Kept) -> None:
    await made(kept, "a")
    notes = {f"n{n}": str(n) for n in range(8)}
    doing = [
        kept.keys.update("a", lambda key, name=name: KeyChanges(metadata={**key.metadata, name: notes[name]}), ALICE)
        for name in notes
    ]
    await asyncio.gather(*doing)
    assert (await kept.keys.get("a")).metadata == notes


async def test_a_clock_per_service_is_enough_for_order(kept: Kept) -> None:
    """Ids follow the clock of who makes them; a clock that is set back is no reason to fail."""
    await made(kept, "a")
    behind = KeyService(kept.installation, kept.log, clock=Clock(NOON - HOUR))
    record = (await behind.create(NewKey(name="b"), ALICE)).record
    (first, *_) = await kept.keys.page()
    assert first.id == record.id
    assert (await kept.log.verify()).whole
