"""`docs/failover.md`: its tables say what the code does, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ai_gateway_mw.state.results import CLIENT, COUNTS, RATE_LIMIT, SERVER, TIMEOUT, TOTAL
from ai_gateway_mw.upstream.outcome import Next, Outcome
from benchmarks.contract.__main__ import PROMISES
from tests.upstream.test_outcome import ROWS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "failover.md").read_text()
RATES = {TOTAL: "total", RATE_LIMIT: "rate_limit", TIMEOUT: "timeout", SERVER: "server", CLIENT: "client"}
THEN = {
    Next.ANSWER: "answer",
    Next.ANY_CANDIDATE: "any",
    Next.OTHER_PROVIDER: "provider",
    Next.OTHER_HOST: "host",
    Next.STOP: "stop",
}
NUMBERS = [*map(str, range(1, 39)), "38b", *map(str, range(39, 54))]


def table(title: str, page: str = PAGE) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def outcome_cells(outcome: Outcome) -> list[str]:
    """What the page has to say of an outcome."""
    counts = [RATES[kind] for kind in COUNTS[outcome.result] if kind in RATES] if outcome.result else []
    lesson = outcome.lesson
    origin = {True: "works", False: "fails", None: "–"}[lesson.works]
    return [
        f"`{outcome.value}`",
        outcome.fault.value,
        THEN[outcome.then],
        ", ".join(f"`{name}`" for name in counts) or ("ok" if outcome is Outcome.ACCEPTED else "–"),
        f"{origin}, rests" if lesson.origin_rests else origin,
        "maybe" if outcome.may_be_billed else "no",
        "–" if outcome.then is Next.ANSWER else f"`{outcome.last_resort.code}`",
    ]


def test_the_table_of_outcomes_is_that_of_the_code() -> None:
    assert table("Outcomes") == [outcome_cells(outcome) for outcome in Outcome]


def test_the_matrix_has_every_row_once() -> None:
    assert [row[0] for row in table("The matrix")] == NUMBERS


@pytest.mark.parametrize("number", sorted({row.number for row in ROWS} - {"37", "41"}, key=int))
def test_the_matrix_names_the_outcomes_that_the_tests_found(number: str) -> None:
    cell = next(row[2] for row in table("The matrix") if row[0] == number)
    assert set(re.findall(r"`([a-z_]+)`", cell)) == {row.outcome.value for row in ROWS if row.number == number}


def test_every_outcome_is_in_the_matrix() -> None:
    named = {name for row in table("The matrix") for name in re.findall(r"`([a-z_]+)`", row[2])}
    assert named == {outcome.value for outcome in Outcome}


@pytest.mark.parametrize("outcome", [each for each in Outcome if each.lesson.origin_rests], ids=lambda each: each.value)
def test_how_long_an_origin_rests_is_as_the_page_says(outcome: Outcome) -> None:
    assert outcome.lesson.origin_rests is not None
    least, most = map(int, outcome.lesson.origin_rests)
    span = {3600: "one hour"}.get(least, f"{least} to {most}")
    assert re.search(rf"`{outcome.value}`[^;,]*? {span}", PAGE.partition("may also *rest*")[2].replace("\n", " "))


def test_every_promise_has_its_command() -> None:
    """Those of gateway keys are on the page of these."""
    commands = [row[1] for page in ("failover.md", "gateway-keys.md") for row in table("See it kept", _page(page))]
    assert sorted(commands) == sorted(f"`python -m benchmarks.contract {name}`" for name in PROMISES)


def _page(name: str) -> str:
    return (DOCS / name).read_text()
