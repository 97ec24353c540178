from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from ai_gateway_mw.limits import Calendar, KeyLimits, LimitsDocument, Sliding

EVERYTHING = {
    "requests_per_minute": 1,
    "requests_per_hour": 2,
    "requests_per_day": 3,
    "tokens_per_minute": 0,
    "tokens_per_day": 5,
    "input_tokens_per_minute": 6,
    "input_tokens_per_day": 7,
    "output_tokens_per_minute": 8,
    "output_tokens_per_day": 9,
    "concurrent_requests": 10,
    "usd_per_day": 2.5,
    "usd_per_month": 40,
}


def limits(document: dict[str, Any]) -> KeyLimits:
    return KeyLimits.of(LimitsDocument.model_validate(document))


@pytest.mark.parametrize("document", [{}, EVERYTHING, {"usd_per_day": 0}, {"usd_per_month": 999_999_999.999999}])
def test_a_document_is_written_as_it_was_read(document: dict[str, Any]) -> None:
    written = limits(document).to_json()
    assert json.loads(json.dumps(written)) == document
    assert limits(written) == limits(document)


def test_every_limit_of_the_document_is_counted() -> None:
    made = limits(EVERYTHING)
    assert len(made.of_requests) + len(made.of_use) + 1 == len(EVERYTHING) == len(LimitsDocument.model_fields)
    assert [bound.text for bound in made.of_requests] == [
        "1 requests per minute",
        "2 requests per hour",
        "3 requests per day",
    ]
    assert [(bound.window, bound.limit, bound.text) for bound in made.of_use[-2:]] == [
        (Calendar("day"), 2_500_000_000, "2.5 USD per day"),
        (Calendar("month"), 40_000_000_000, "40 USD per month"),
    ]
    assert made.of_use[0][:3] == ("tokens", Sliding(60), 0)


@pytest.mark.parametrize("written", [2.5, "2.5", "2.500000"])
def test_money_is_read_without_rounding(written: Any) -> None:
    assert limits({"usd_per_day": written}).nano_usd_per_day == 2_500_000_000
    assert limits({"usd_per_day": 0.1}).nano_usd_per_day == 100_000_000
    assert limits({"usd_per_day": 0.000001}).nano_usd_per_day == 1000


@pytest.mark.parametrize(
    "document",
    [
        {"requests_per_minute": 0},
        {"requests_per_minute": -1},
        {"requests_per_minute": "60"},
        {"requests_per_minute": 1.5},
        {"requests_per_minute": True},
        {"requests_per_second": 1},
        {"concurrent_requests": 0},
        {"tokens_per_day": -1},
        {"tokens_per_day": 10**16},
        {"usd_per_day": -0.01},
        {"usd_per_day": True},
        {"usd_per_day": "five"},
        {"usd_per_day": "0.0000001"},
        {"usd_per_day": float("inf")},
        {"usd_per_day": 10**9},
    ],
    ids=str,
)
def test_documents_that_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LimitsDocument.model_validate(document)


def test_every_field_is_described() -> None:
    schema = LimitsDocument.model_json_schema()
    assert all(field.get("description") for field in schema["properties"].values())


def test_none_limits_nothing() -> None:
    assert KeyLimits.none == KeyLimits() == limits({})
    assert KeyLimits.none.is_none
    assert not limits({"concurrent_requests": 1}).is_none


@pytest.mark.parametrize("name", EVERYTHING)
def test_null_is_no_limit(name: str) -> None:
    assert limits({name: None}) == limits({})


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert limits({"requests_per_day": 60.0}) == limits({"requests_per_day": 60})
