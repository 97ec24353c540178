"""The file of counters, and what happens when it has no room."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_gateway_mw.errors import CountersUnusable, LimitsUnavailable
from ai_gateway_mw.limits import Calendar, Counters, Sliding
from tests.limits.clock import Clock
from tests.limits.taking import correct, enter, leave, take

MINUTE = Sliding(60)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def small(clock: Clock) -> Iterator[Counters]:
    counters = Counters.in_memory(clock=clock, rows=256, place_rows=256)
    yield counters
    counters.close()


def test_a_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "counters"
    Counters.shared(file).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["counters"]


def test_what_was_counted_is_there_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    for expected in (True, True, False):
        counters = Counters.shared(tmp_path / "counters", clock=clock)
        assert take(counters, [("key:a", MINUTE, 2, 1)]).granted is expected
        counters.close()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no file of counters"),
        (b"SQLite format 3\0" * 100, "is no file of counters"),
        (b"aigwlims" + (2).to_bytes(8, "little") + bytes(5000), "another version"),
        (b"aigwlims" + (1).to_bytes(8, "little") + bytes(5000), "another version"),
    ],
    ids=["empty", "other", "newer", "rows"],
)
def test_a_file_of_another_layout_is_refused_and_stays_as_it_is(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "counters"
    file.write_bytes(content)
    with pytest.raises(CountersUnusable, match=says):
        Counters.shared(file)
    assert file.read_bytes() == content


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "counters"
    Counters.shared(file).close()
    os.truncate(file, file.stat().st_size - 4096)
    with pytest.raises(CountersUnusable, match="another version"):
        Counters.shared(file)


def test_where_nothing_can_be_made_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CountersUnusable, match=r"file/counters cannot be opened: .*File exists"):
        Counters.shared(tmp_path / "file" / "counters")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CountersUnusable, match="Permission denied"):
        Counters.shared(tmp_path / "counters")
    tmp_path.chmod(0o700)


def test_a_full_table_refuses_and_forgets_nothing(small: Counters, clock: Clock) -> None:
    for number in range(256):
        assert take(small, [(str(number), MINUTE, 5, number % 5)]).granted
    for claims in ([("one more", MINUTE, 5, 1)], [("0", MINUTE, 5, 1), ("one more", MINUTE, 5, 1)]):
        with pytest.raises(LimitsUnavailable):
            take(small, claims)
    assert [small.value(str(number), MINUTE) for number in range(256)] == [number % 5 for number in range(256)]
    assert take(small, [("0", MINUTE, 5, 1)]).granted


@pytest.mark.parametrize(("prefix", "hint"), [("", "`bucket_key`"), ("key:", "fewer gateway keys")])
def test_that_a_table_is_full_is_told_once_in_a_while(
    prefix: str, hint: str, small: Counters, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(256):
        take(small, [(f"{prefix}{number}", Calendar("month"), 5, 1)])
    for _ in range(3):
        for _ in range(5):
            with pytest.raises(LimitsUnavailable):
                take(small, [(f"{prefix}one more", MINUTE, 5, 1)])
        clock.now += 50
    assert len(caplog.messages) == 2
    assert hint in caplog.text


def test_a_full_table_takes_no_place_and_keeps_none(small: Counters) -> None:
    for number in range(256):
        take(small, [(str(number), MINUTE, 5, 1)])
    with pytest.raises(LimitsUnavailable):
        take(small, [("0", MINUTE, 5, 1), ("one more", MINUTE, 5, 1)], ("0", 3))
    assert (small.value("0", MINUTE), small.entered("0")) == (1, 0)
    assert enter(small, "0", 3)
    with pytest.raises(LimitsUnavailable):
        correct(small, "one more", MINUTE, 0.0, 5, ("0", 3))
    assert small.entered("0") == 0


def test_what_others_fill_leaves_room_for_gateway_keys(small: Counters) -> None:
    for number in range(256):
        take(small, [(str(number), MINUTE, 5, 1)])
    assert take(small, [("key:a", MINUTE, 5, 1)]).granted


def test_a_row_is_used_again_when_its_window_is_over(small: Counters, clock: Clock) -> None:
    take(small, [("old", MINUTE, 5, 5)])
    for number in range(255):
        take(small, [(str(number), Calendar("month"), 5, 3)])
    clock.now += 60
    with pytest.raises(LimitsUnavailable):
        take(small, [("new", MINUTE, 5, 1)])
    clock.now += 1
    assert take(small, [("new", MINUTE, 5, 1)]).standings[0][1] == 4
    with pytest.raises(LimitsUnavailable):
        take(small, [("old", MINUTE, 5, 1)])
    assert small.value("old", MINUTE) == 0
    assert all(small.value(str(number), Calendar("month")) == 3 for number in range(255))


def test_rows_from_before_the_clock_was_put_back_are_free_after_a_window(small: Counters, clock: Clock) -> None:
    clock.now += 10 * 365 * 86_400
    for number in range(256):
        take(small, [(str(number), MINUTE, 5, 1)])
    clock.now -= 10 * 365 * 86_400
    with pytest.raises(LimitsUnavailable):
        take(small, [("new", MINUTE, 5, 1)])
    clock.now += 63
    assert take(small, [("new", MINUTE, 5, 1)]).granted


def test_a_month_that_began_just_before_its_end_is_not_cut_short(small: Counters, clock: Clock) -> None:
    month = Calendar("month")
    clock.now = 1_775_001_570.0  # 30 seconds before April 2026
    for _ in range(2):
        for number in range(256):
            take(small, [(str(number), month, 9, 3)])
        clock.now += 60
    for _ in range(2):
        with pytest.raises(LimitsUnavailable):
            take(small, [("new", MINUTE, 5, 1)])
        clock.now += 3600
    assert all(small.value(str(number), month) == 3 for number in range(256))


@pytest.mark.parametrize("later", [0, 1, 55, 60, 64, 65, 66])
def test_a_row_that_counts_again_after_the_clock_was_put_back_is_not_free(
    small: Counters, clock: Clock, later: int
) -> None:
    for number in range(256):
        take(small, [(str(number), MINUTE, 5, 1)])
    clock.now -= 65
    with pytest.raises(LimitsUnavailable):
        take(small, [("new", MINUTE, 5, 1)])
    clock.now += later
    for number in range(256):
        assert take(small, [(str(number), MINUTE, 5, 4)]).granted
    clock.now += 60
    with pytest.raises(LimitsUnavailable):
        take(small, [("new", MINUTE, 5, 1)])


def test_places_that_are_taken_are_not_given_to_another_name(small: Counters) -> None:
    for number in range(256):
        assert enter(small, str(number), 1)
    with pytest.raises(LimitsUnavailable):
        enter(small, "one more", 1)
    leave(small, "7")
    assert enter(small, "one more", 1)
    assert not enter(small, "8", 1)
    assert small.entered("7") == 0


@pytest.mark.parametrize("rows", [0, 1, 255, 257, 65_792])
def test_a_table_of_no_sense_is_refused(tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match="a table has"):
        Counters.in_memory(rows=rows)
