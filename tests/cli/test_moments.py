"""Times at the command line, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from typer import BadParameter

from ai_gateway_mw.cli import moments

NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "now", lambda: NOW)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        (" 2027-01-31 ", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:00:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ("90d", NOW + timedelta(days=90)),
        ("24h", NOW + timedelta(hours=24)),
        ("1h30m", NOW + timedelta(minutes=90)),
    ],
)
def test_dates_are_taken_as_they_are_and_durations_from_now(text: str, moment: datetime) -> None:
    assert moments.ahead(text) == moment
    assert moments.ago(text) == (moment if "-" in text else NOW - (moment - NOW))


@pytest.mark.parametrize("text", ["", "soon", "2027", "31.1.2027", "2027-02-30", "2027-01-31T25:00Z", "-7d", "7 days"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadParameter, match="is none of: a date"):
        moments.ahead(text)


def test_a_time_without_a_zone_could_be_any() -> None:
    with pytest.raises(BadParameter, match="has no time zone; write 2027-01-31T12:00Z for UTC"):
        moments.ahead("2027-01-31T12:00")


def test_more_than_there_are_years() -> None:
    assert moments.ahead("99999d").year < 2200
    with pytest.raises(BadParameter):
        moments.ahead("9999999999h")


def test_times_are_shown_in_utc() -> None:
    assert moments.shown(datetime.fromisoformat("2027-01-31T12:00:00+02:00")) == "2027-01-31 10:00 UTC"
    assert (moments.shown(None), moments.shown(None, none="never")) == ("-", "never")
