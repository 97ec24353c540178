"""`ai-gateway audit`: what was done to keys, policies and secrets, by whom; and the proof that it is all
there as it was written."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ai_gateway_mw.audit import Entry, Event, Filter, Head, Verdict, events_of
from ai_gateway_mw.cli.console import say, say_json, say_table, stop
from ai_gateway_mw.cli.installed import where_stored
from ai_gateway_mw.cli.moments import ago, shown
from ai_gateway_mw.services import Services

app = typer.Typer(add_completion=False, no_args_is_help=True)

_ID: Final = "key_"
_SAVED: Final = re.compile(r"\b\d{1,18}:[0-9a-f]{64}\b")
_SPARE: Final = ("row", "from", "details")
_SAID: Final = frozenset({"id", "name", "state", "created_at"})  # of something new, by what stands beside it
_WIDTH: Final = 100  # characters of an event's details that a table shows


def _events(text: str) -> frozenset[Event]:
    try:
        return events_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _head(text: str) -> Head:
    """A head, or the file that it was saved to: also in the midst of what `verify` prints."""
    try:
        if not text.startswith("@"):
            return Head.parse(text)
        saved = Path(text[1:]).read_text(encoding="utf-8")
        found = _SAVED.search(saved)
        return Head.parse(found[0] if found else saved)
    except OSError as error:
        raise typer.BadParameter(f"{text[1:]} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Events = Annotated[
    frozenset[Event] | None,
    typer.Option(
        "--event",
        parser=_events,
        metavar="EVENT",
        help='One event (`key.revoked`), or all of "API Key", admin, policy, secret.',
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=ago, metavar="WHEN", help="From when on: 2027-01-31, or 7d back from now."),
]


@app.callback()
def audit() -> None:
    """Read and verify the audit log.

    Every change of a key, a policy or a stored secret is in it, and the first use of a key that is dead.
    """


@app.command("list")
def list_(
    event: Events = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Only what happened to this key: id, or name in use.")
    ] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List what happened, the newest first."""

    async def looked_up(services: Services) -> Sequence[Entry]:
        wanted = Filter(event, await _subject(services, key), since)
        return await services.audit.latest(wanted, limit=limit)

    found = where_stored(looked_up) or ()
    if as_json:
        say_json([one.as_json() for one in found])
    elif found:
        say_table("row", "when", "event", "who", "from", "what", "details", rows=map(_cells, found), spare=_SPARE)
    else:
        say("There are no such entries.")
    if len(found) == limit:
        say(f"These are the newest {limit}; --limit shows more, `ai-gateway audit export` all.", stderr=True)


@app.command()
def verify(
    head: Annotated[
        Head | None,
        typer.Option(
            "--head", parser=_head, metavar="HEAD|@FILE", help="A head that was printed earlier, or its file."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Go through the whole log and tell whether anything was changed, removed or put in. Ends with 1 where it was.

    That its last rows are missing shows only against a head from an earlier time: save it where nobody who can write to
    the database can write.
    """
    verdict = where_stored(lambda services: services.audit.verify(head)) or _nothing(head)
    if as_json:
        say_json(_as_json(verdict))
    else:
        _say(verdict, saved=head is not None)
    raise typer.Exit(0 if verdict.whole else 1)


@app.command()
def export(event: Events = None, since: Since = None) -> None:
    """Print the log, the oldest entry first, one JSON object a line."""

    async def printed(services: Services) -> None:
        async for entry in services.audit.all(Filter(event, None, since)):
            print(json.dumps(entry.as_json()))

    where_stored(printed)


async def _subject(services: Services, key: str | None) -> str | None:
    """The id of a key; one that is no key's any more may still be in the log."""
    return key if key is None or key.startswith(_ID) else (await services.keys.get(key)).id


def _cells(entry: Entry) -> tuple[str, ...]:
    told = _told(json.loads(entry.details))
    details = told if len(told) <= _WIDTH else f"{told[:_WIDTH]}…"
    when = shown(entry.at, seconds=True)
    return str(entry.seq), when, entry.event, entry.actor, entry.address or "-", entry.subject, details


def _told(details: dict[str, Any]) -> str:
    """Details in short: what was changed, and of something new all that it has. The export has every word."""
    before, after = (details.pop(side, None) or {} for side in ("before", "after"))
    pairs = [f"{name}={_text(value)}" for name, value in details.items()]
    pairs += [
        f"{name}={_text(before[name])} → {_text(value)}" if name in before else f"{name}={_text(value)}"
        for name, value in after.items()
        if name in before or (name not in _SAID and value not in (None, "", [], {}, False))
    ]
    return ", ".join(pairs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _nothing(saved: Head | None) -> Verdict:
    """Of a log that was never begun; a head says that it was."""
    if saved is not None and saved.seq:
        stop(f"There is no audit log here, but it once had row {saved.seq}; is AI_GATEWAY_DATA_DIR the right one?")
    return Verdict(Head(0, b""), ())


def _as_json(verdict: Verdict) -> dict[str, object]:
    faults = [{"row": fault.seq, "text": fault.text} for fault in verdict.faults]
    return {"whole": verdict.whole, "rows": verdict.head.seq, "head": str(verdict.head), "faults": faults}


def _say(verdict: Verdict, *, saved: bool) -> None:
    for fault in verdict.faults:
        say(fault.text, style="bold red", stderr=True)
    if not verdict.whole:
        say("The audit log is not what was written. Keep a copy of the database before anything else.", stderr=True)
        return
    against = ", and it goes on from the head that was saved" if saved else ""
    say(f"The audit log is whole: {verdict.head.seq} rows{against}.", style="bold green")
    say(f"head {verdict.head}")
    say("Save the head elsewhere, out of reach of whoever can write to the database; `--head` takes it.", stderr=True)
