"""The audit log in SQLite and in PostgreSQL: one chain, whoever writes, and every edit of it is found."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw.audit import Actor, AuditLog, Event, Filter, Happening, Head, Verdict, events_of
from ai_gateway_mw.audit.chain import Walk
from ai_gateway_mw.database import Installation, audit, audit_head
from ai_gateway_mw.errors import DatabaseUnavailable
from tests.databases import installation_of
from tests.installations import ALICE, NOON, Kept, environment_of, other_process

pytestmark = pytest.mark.anyio

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = 5
COLUMNS = ["at", "event", "actor", "address", "subject", "details"]
HOSTILE = [
    "a\r\nb",
    "\x1b[2J\x1b]0;title\x07",
    '"}\n{"seq":1',
    "\ud800 half",
    "a\0b",
    "\u2028\u202e",
    "käse",
    "",
    "x" * 10_000,
    "'; DROP TABLE audit; --",
]


def happening(subject: str = "key_1", event: Event = Event.KEY_CHANGED, **details: Any) -> Happening:
    return Happening(event, ALICE, subject, details)


@pytest.fixture
async def written(kept: Kept) -> Kept:
    """A log of a few rows, no two alike."""
    for number in range(1, ROWS + 1):
        await kept.log.write(happening(f"key_{number}", n=number))
        kept.clock.move(1)
    return kept


async def faults(kept: Kept, saved: Head | None = None) -> list[int]:
    verdict = await kept.log.verify(saved)
    assert verdict.whole is (not verdict.faults)
    return [fault.seq for fault in verdict.faults]


async def head_of(kept: Kept) -> Head:
    verdict = await kept.log.verify()
    assert verdict.whole
    return verdict.head


async def test_an_empty_log_is_whole(kept: Kept) -> None:
    verdict = await kept.log.verify()
    assert verdict == Verdict(Head(0, b""), [])
    assert Head.parse(str(verdict.head)) == verdict.head


async def test_a_log_that_nobody_touched_is_whole(written: Kept) -> None:
    head = await head_of(written)
    assert head.seq == ROWS
    assert Head.parse(str(head)) == head
    assert await faults(written, head) == []
    await written.log.write(happening("another"), happening("and another"))
    assert await faults(written, head) == []


async def test_what_happens_together_is_written_in_its_order(kept: Kept) -> None:
    await kept.log.write(*(happening(str(number)) for number in range(3)))
    assert [entry.subject async for entry in kept.log.all()] == ["0", "1", "2"]
    assert (await head_of(kept)).seq == 3


@pytest.mark.parametrize("row", [1, 3, ROWS], ids=["first", "middle", "last"])
@pytest.mark.parametrize("column", COLUMNS)
async def test_an_edited_column_is_found(written: Kept, row: int, column: str) -> None:
    change = f"{column} + 1" if column == "at" else f"{column} || ' '"
    await written.execute(f"UPDATE audit SET {column} = {change} WHERE seq = :row", row=row)
    assert await faults(written) == [row]


@pytest.mark.parametrize("mac", [b"", b"\0" * 32], ids=["empty", "zeros"])
async def test_an_edited_mac_is_found(written: Kept, mac: bytes) -> None:
    await written.execute("UPDATE audit SET mac = :mac WHERE seq = 3", mac=mac)
    assert await faults(written) == [3, 4]


async def test_text_that_moves_from_one_column_to_the_next_is_found(written: Kept) -> None:
    await written.execute("UPDATE audit SET actor = actor || address, address = '' WHERE seq = 2")
    assert await faults(written) == [2]


@pytest.mark.parametrize("row", [1, 3], ids=["first", "middle"])
async def test_a_deleted_row_is_found(written: Kept, row: int) -> None:
    await written.execute("DELETE FROM audit WHERE seq = :row", row=row)
    assert await faults(written) == [row]


@pytest.mark.parametrize("row", [1, 3], ids=["first", "middle"])
async def test_a_deleted_row_is_found_when_the_others_close_up(written: Kept, row: int) -> None:
    await written.execute("DELETE FROM audit WHERE seq = :row", row=row)
    for after in range(row + 1, ROWS + 1):
        await written.execute("UPDATE audit SET seq = :to WHERE seq = :after", to=after - 1, after=after)
    assert row in await faults(written)


@pytest.mark.parametrize("seq", [-7, 0, ROWS + 1, ROWS + 100, 2**62], ids=str)
async def test_an_inserted_row_is_found(written: Kept, seq: int) -> None:
    copied = ", ".join([*COLUMNS, "mac"])
    await written.execute(f"INSERT INTO audit (seq, {copied}) SELECT :seq, {copied} FROM audit WHERE seq = 2", seq=seq)
    assert await faults(written)
    await written.execute("UPDATE audit_head SET seq = :seq", seq=max(seq, ROWS))
    assert await faults(written)


async def test_two_rows_that_have_changed_places_are_found(written: Kept) -> None:
    for row, to in ((2, 99), (4, 2), (99, 4)):
        await written.execute("UPDATE audit SET seq = :to WHERE seq = :row", row=row, to=to)
    assert await faults(written) == [2, 3, 4, 5]


async def test_two_rows_whose_content_has_changed_places_are_found(written: Kept) -> None:
    await written.execute(
        "UPDATE audit SET subject = CASE seq WHEN 2 THEN 'key_4' ELSE 'key_2' END WHERE seq IN (2, 4)"
    )
    assert await faults(written) == [2, 4]


async def test_a_cut_end_is_found_by_the_head(written: Kept) -> None:
    await written.execute("DELETE FROM audit WHERE seq > 3")
    assert await faults(written) == [3]


async def truncate(kept: Kept, seq: int) -> None:
    """As somebody does it who knows of the head."""
    await kept.execute("DELETE FROM audit WHERE seq > :seq", seq=seq)
    if seq:
        await kept.execute("UPDATE audit_head SET seq = :seq, mac = (SELECT mac FROM audit WHERE seq = :seq)", seq=seq)
    else:
        await kept.execute("UPDATE audit_head SET seq = 0, mac = :mac", mac=b"")


@pytest.mark.parametrize("left", [0, 3])
async def test_a_cut_end_with_its_head_is_found_by_a_saved_one(written: Kept, left: int) -> None:
    saved = await head_of(written)
    await truncate(written, left)
    assert await faults(written) == []  # what nobody can tell who has saved nothing
    assert await faults(written, saved) == [left + 1]


@pytest.mark.parametrize("more", [0, 3])
async def test_a_log_that_goes_on_after_the_cut_is_found_by_a_saved_head(written: Kept, more: int) -> None:
    saved = await head_of(written)
    await truncate(written, ROWS - 2)
    await written.log.write(*(happening("other", n=n) for n in range(2 + more)))
    assert await faults(written) == []
    assert await faults(written, saved) == [ROWS]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE audit_head SET seq = seq - 1", [ROWS]),
        ("UPDATE audit_head SET seq = seq + 1", [ROWS]),
        ("UPDATE audit_head SET mac = (SELECT mac FROM audit WHERE seq = 1)", [ROWS]),
        ("DELETE FROM audit_head", [ROWS]),
        ("UPDATE audit_head SET id = 2", [ROWS]),
    ],
)
async def test_an_edited_head_is_found(written: Kept, statement: str, found: list[int]) -> None:
    await written.execute(statement)
    assert await faults(written) == found


async def test_a_second_head_changes_nothing(written: Kept) -> None:
    await written.execute("INSERT INTO audit_head (id, seq, mac) SELECT 2, 0, mac FROM audit_head")
    assert await faults(written) == []
    await written.log.write(happening())
    assert await faults(written) == []


async def test_without_a_head_nothing_is_written(written: Kept) -> None:
    await written.execute("DELETE FROM audit_head")
    with pytest.raises(DatabaseUnavailable):
        await written.log.write(happening())


async def test_a_log_of_another_key_is_found(written: Kept) -> None:
    installation = written.installation
    other = Installation(installation.database, 1, installation.peppers, b"another key")
    assert len((await AuditLog(other).verify()).faults) == ROWS


async def test_not_more_is_told_than_can_be_read(written: Kept) -> None:
    await written.log.write(*(happening() for _ in range(40)))
    await written.execute("UPDATE audit SET subject = ''")
    assert len(await faults(written)) == 20


@pytest.mark.parametrize("column", ["seq", *COLUMNS, "mac"])
@pytest.mark.parametrize("value", ["'text'", "x'ff'", "1.5", "9e300"])
async def test_a_column_of_another_type_is_found(
    tmp_path: Path, request: pytest.FixtureRequest, column: str, value: str
) -> None:
    """SQLite keeps anything in any column."""
    async with installation_of("sqlite", tmp_path, request) as installation:
        kept = Kept(installation)
        await kept.log.write(*(happening(str(number)) for number in range(3)))
        await kept.execute(f"UPDATE audit SET {column} = {value} WHERE seq = 2")
        assert await faults(kept)


# ── Several writers


async def test_writers_in_two_processes_keep_one_chain(kept: Kept, tmp_path: Path) -> None:
    environment = environment_of(kept.installation)
    async with AsyncExitStack() as stack:
        opened = [stack.enter_async_context(other_process(tmp_path, environment)) for _ in range(2)]
        others = [await each for each in opened]
        await asyncio.gather(*(other.do("note", "10") for other in others))
    assert (await head_of(kept)).seq == 20


async def test_writers_on_many_connections_keep_one_chain(kept: Kept) -> None:
    await asyncio.gather(*(kept.log.write(happening(str(number))) for number in range(20)))
    assert (await head_of(kept)).seq == 20


async def test_a_log_is_verified_as_it_was_at_one_moment(written: Kept) -> None:
    async def write() -> None:
        for number in range(10):
            await written.log.write(happening(str(number)))

    writing = asyncio.ensure_future(write())
    while not writing.done():
        assert await faults(written) == []
    await writing


# ── What is written


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
async def test_text_of_any_kind_is_one_row_and_one_line(kept: Kept, text: str) -> None:
    await kept.log.write(Happening(Event.KEY_CHANGED, Actor(text, text), text, {"a": text, text: [text]}))
    await kept.log.write(happening())
    assert await faults(kept) == []
    entries = [entry async for entry in kept.log.all()]
    line = json.dumps(entries[0].as_json())
    assert line.isascii()
    assert line.isprintable()
    shown = json.loads(line)
    assert shown["details"] == {"a": text, text: [text]}
    kept_as = {"\ud800 half": "\\ud800 half", "a\0b": "a\\x00b"}.get(text, text)
    assert (shown["actor"], shown["address"], shown["subject"]) == (kept_as,) * 3


async def test_an_export_says_all_that_the_chain_holds(written: Kept) -> None:
    """Whoever has the key can check an export as well as the database."""
    exported = [json.dumps(entry.as_json()) async for entry in written.log.all()]
    walk = Walk(written.installation.audit_key)
    for line, row in zip(exported, sorted(await written.rows(audit), key=lambda row: row["seq"]), strict=True):
        shown = json.loads(line)
        assert shown["mac"] == row["mac"].hex()
        at = (datetime.fromisoformat(shown["at"]) - EPOCH) // timedelta(microseconds=1)
        details = json.dumps(shown["details"], sort_keys=True, separators=(",", ":"))
        texts = (shown["event"], shown["actor"], shown["address"], shown["subject"], details)
        assert list(walk.step((shown["seq"], at, *texts, bytes.fromhex(shown["mac"])))) == []
    assert walk.last == await head_of(written)


async def test_what_was_edited_is_still_shown(written: Kept) -> None:
    await written.execute("UPDATE audit SET details = 'no JSON' WHERE seq = 2")
    assert [entry.as_json()["details"] for entry in await written.log.latest()][-2] == "no JSON"


async def test_the_newest_come_first_and_page_by_page(written: Kept) -> None:
    seen: list[int] = []
    while page := await written.log.latest(limit=2, before=seen[-1] if seen else None):
        seen += [entry.seq for entry in page]
    assert seen == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [1, 2, 3, 4, 5, 6]),
        (Filter(events=events_of("admin")), [6]),
        (Filter(events=events_of("API Key"), subject="key_2"), [2]),
        (Filter(since=NOON + timedelta(seconds=3)), [4, 5, 6]),
        (Filter(subject="nobody"), []),
        (Filter(events=frozenset()), []),
    ],
    ids=["all", "events", "subject", "since", "none", "no event"],
)
async def test_entries_are_filtered(written: Kept, wanted: Filter, found: list[int]) -> None:
    await written.log.write(happening("admin", Event.ADMIN_LOGIN))
    assert [entry.seq async for entry in written.log.all(wanted)] == found
    assert [entry.seq for entry in await written.log.latest(wanted)] == found[::-1]


def test_the_events_of_keys_have_several_names() -> None:
    assert events_of("key") == events_of("API Keys") == events_of(" KEYS ")
    assert events_of("key.created") == {Event.KEY_CREATED}


@pytest.mark.parametrize("name", ["", ".", "key.", "nothing"])
def test_what_is_no_event_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="there is no event"):
        events_of(name)


@pytest.mark.parametrize("text", ["", "1", "1:", "1:" + "a" * 63, "-1:" + "a" * 64, "0:" + "zz" * 32, "x:" + "a" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a head is"):
        Head.parse(text)


async def test_a_change_that_fails_leaves_no_entry(kept: Kept) -> None:
    async def fail() -> None:
        async with kept.database.writing() as connection:
            await kept.log.append(connection, happening())
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await kept.rows(audit) == []
    assert (await kept.rows(audit_head))[0]["seq"] == 0


async def test_a_log_that_takes_no_rows_is_unavailable(written: Kept) -> None:
    """Somebody has put one where the next belongs."""
    await written.execute("UPDATE audit SET seq = :next WHERE seq = :last", next=ROWS + 1, last=ROWS)
    with pytest.raises(DatabaseUnavailable, match="takes no rows"):
        await written.log.write(happening())
