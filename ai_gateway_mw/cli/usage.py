"""`ai-gateway usage`: requests, tokens and cost, of all keys or one, by day, model or key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Final

import typer

from ai_gateway_mw.cli.console import say, say_json, say_table
from ai_gateway_mw.cli.installed import for_key, where_stored
from ai_gateway_mw.cli.keys.reading import every_key
from ai_gateway_mw.cli.keys.showing import cost
from ai_gateway_mw.cli.moments import ago, shown
from ai_gateway_mw.services import Services
from ai_gateway_mw.usage import DayUsage, Figures, KeyUsage, ModelUsage

app = typer.Typer(add_completion=False)

_SPARE: Final = ("last used", "errors", "output tokens", "input tokens")
_Used = KeyUsage | DayUsage | ModelUsage
_Question = Callable[[Collection[str] | None, date | None, date | None], Awaitable[Sequence[_Used]]]


class By(StrEnum):
    """What the lines of the table are."""

    KEY = "key"
    DAY = "day"
    MODEL = "model"


@app.command()
def usage(
    key: Annotated[
        str | None, typer.Option("--key", help="Only this key: its id, or its name if it is in use.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", parser=ago, metavar="DAY", help="First day, in UTC: 2027-01-31, or 7d for a week ago."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", parser=ago, metavar="DAY", help="Last day, which counts too.")
    ] = None,
    by: Annotated[By, typer.Option("--by", help="What the lines are.")] = By.KEY,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell what was used: requests, tokens and cost.

    Days are those of UTC. Gateways write what was used every second.
    """

    async def looked_up(services: Services) -> tuple[Sequence[_Used], dict[str, str]]:
        ids = [(await services.keys.get(key)).id] if key is not None else None
        first, last = (moment and moment.astimezone(UTC).date() for moment in (since, until))
        store = services.usage
        questions: dict[By, _Question] = {By.KEY: store.summary, By.DAY: store.by_day, By.MODEL: store.by_model}
        names = {record.id: record.name for record in await every_key(services)} if by is By.KEY else {}
        return await questions[by](ids, first, last), names

    found = for_key(key, looked_up) if key is not None else where_stored(looked_up)
    used, names = found or ((), {})
    if as_json:
        say_json([one.as_json() for one in used])
    elif used:
        _table(by, used, names)
    else:
        say("Nothing was used.")


def _table(by: By, used: Sequence[_Used], names: dict[str, str]) -> None:
    label = {By.KEY: ("key", "name"), By.DAY: ("day",), By.MODEL: ("provider", "model")}[by]
    figures = [one.figures for one in used]
    total = ("total", *[""] * (len(label) - 1), *_cells(_sum(figures)))
    rows = [(*_label(one, names), *_cells(one.figures)) for one in used]
    headings = (*label, "requests", "errors", "input tokens", "output tokens", "cost", "last used")
    say_table(*headings, rows=[*rows, *([total] if len(rows) > 1 else [])], spare=_SPARE)
    if unpriced := sum(each.unpriced for each in figures):
        say(f"{unpriced} requests are not in the cost: nobody knows the price of their models.", stderr=True)


def _label(one: _Used, names: dict[str, str]) -> tuple[str, ...]:
    match one:
        case KeyUsage():
            return one.key_id, names.get(one.key_id, "-")
        case DayUsage():
            return (one.day,)
    return one.provider or "-", one.model or "-"  # a request that came to no model


def _cells(figures: Figures) -> tuple[str, ...]:
    counts = (figures.requests, figures.errors, figures.input_tokens, figures.output_tokens)
    return (*map(str, counts), cost(figures), shown(figures.last_used))


def _sum(figures: Sequence[Figures]) -> Figures:
    names = ("requests", "errors", "input_tokens", "output_tokens", "cached_tokens", "cost_nano", "unpriced")
    counts = {name: sum(getattr(each, name) for each in figures) for name in names}
    return Figures(**counts, last_used=max((each.last_used for each in figures if each.last_used), default=None))
