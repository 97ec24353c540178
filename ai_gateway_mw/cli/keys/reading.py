"""`keys list`, `show` and `callers`: what there is to know of keys. Where nothing is stored, nothing is made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final

import typer

from ai_gateway_mw.cli.console import say, say_json
from ai_gateway_mw.cli.installed import for_key, where_stored
from ai_gateway_mw.cli.keys import options
from ai_gateway_mw.cli.keys.showing import Row, callers_table, card, table
from ai_gateway_mw.cli.loading import settings_or_stop
from ai_gateway_mw.cli.moments import now
from ai_gateway_mw.keys.store import KeyRecord, State
from ai_gateway_mw.services import Services
from ai_gateway_mw.usage import Caller, Figures

_PAGE: Final = 1_000
_IN_USE: Final = frozenset({State.ACTIVE, State.RETIRING})


def list_(
    state: Annotated[list[State] | None, typer.Option("--state", help="Only keys in this state. Repeatable.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Also keys that do not work any more.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List the keys that work, without the keys themselves."""
    wanted = frozenset(state or (State if all_ else _IN_USE))
    every = rows_of(where_stored(_everything) or ())
    rows = [row for row in every if row.state in wanted]
    if as_json:
        say_json([row.as_json() for row in rows])
        return
    if rows:
        table(rows)
    elif not every:
        say("There are no keys. `ai-gateway keys create NAME` makes one.")
    if every and len(rows) < len(every):
        say(f"{len(every) - len(rows)} more are in other states; --all shows them too.", stderr=True)


def show(key: options.Key, as_json: options.AsJson = False) -> None:
    """Show everything about one key, but not the key itself."""

    async def looked_up(services: Services) -> tuple[KeyRecord, Figures]:
        return await with_figures(services, await services.keys.get(key))

    (row,) = rows_of([for_key(key, looked_up)])
    if as_json:
        say_json(row.as_json())
    else:
        card(row)


def callers(key: options.Key, since: options.Since = None, as_json: options.AsJson = False) -> None:
    """Tell who uses a key: addresses and user agents, and when they last did.

    After a rotation these are the clients that still need the new key.
    """

    async def looked_up(services: Services) -> tuple[str, Sequence[Caller]]:
        record = await services.keys.get(key)
        return record.id, await services.usage.callers(record.id, since)

    key_id, found = for_key(key, looked_up)
    if as_json:
        say_json([one.as_json() for one in found])
    elif found:
        callers_table(found)
    else:
        say(f"Nobody has used {key_id}{' since then' if since else ''}.")


Found = tuple[KeyRecord, Figures]


def rows_of(found: Collection[Found]) -> list[Row]:
    """The keys as they are now."""
    moment, rotation = now(), _rotation()
    return [Row(record, figures, moment, rotation) for record, figures in found]


async def every_key(services: Services) -> list[KeyRecord]:
    """All keys, in the order in which they were made."""
    found: list[KeyRecord] = []
    while page := await services.keys.page(after=found[-1].id if found else "", limit=_PAGE):
        found += page
    return found


async def with_figures(services: Services, record: KeyRecord) -> Found:
    """A key with the sums of its use."""
    used = await services.usage.summary((record.id,))
    return record, used[0].figures if used else Figures()


async def _everything(services: Services) -> list[Found]:
    figures = {used.key_id: used.figures for used in await services.usage.summary()}
    return [(record, figures.get(record.id, Figures())) for record in await every_key(services)]


def _rotation() -> timedelta:
    return timedelta(seconds=settings_or_stop().key_rotation)


def due(record: KeyRecord, moment: datetime, rotation: timedelta) -> bool:
    """Whether a key is to be rotated."""
    return bool(Row(record, Figures(), moment, rotation).reminder)
