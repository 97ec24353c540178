"""`keys update` and `revoke`: what may be done to a key that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ai_gateway_mw.cli.console import say, say_json, stop
from ai_gateway_mw.cli.installed import actor, document, for_key
from ai_gateway_mw.cli.keys import options
from ai_gateway_mw.cli.keys.making import hand_out
from ai_gateway_mw.cli.keys.reading import rows_of, with_figures
from ai_gateway_mw.cli.keys.showing import card, report
from ai_gateway_mw.cli.moments import now, shown
from ai_gateway_mw.keys.store import Created, KeyChanges, KeyRecord
from ai_gateway_mw.services import Services
from ai_gateway_mw.usage import Figures, Incident, incident
from ai_gateway_mw.visible import visible

_Names = Annotated[list[str] | None, typer.Option("--no-limit", metavar="NAME", help="Without this limit. Repeatable.")]
_Notes = Annotated[list[str] | None, typer.Option("--no-meta", metavar="NAME", help="Without this note. Repeatable.")]


def update(
    key: options.Key,
    name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    environment: options.Environment = None,
    scope: options.Scopes = None,
    expires: options.Expires = None,
    no_expiry: Annotated[bool, typer.Option("--no-expiry", help="It does not expire.")] = False,
    allow_ip: options.AllowIPs = None,
    any_ip: Annotated[bool, typer.Option("--any-ip", help="From any address.")] = False,
    allow_model: options.AllowModels = None,
    any_model: Annotated[bool, typer.Option("--any-model", help="For all models.")] = False,
    allow_provider: options.AllowProviders = None,
    any_provider: Annotated[bool, typer.Option("--any-provider", help="For all providers.")] = False,
    limit: options.Limits = None,
    no_limit: _Names = None,
    meta: options.Meta = None,
    no_meta: _Notes = None,
    as_json: options.AsJson = False,
) -> None:
    """Change what is given and leave the rest; it counts within a second, in every worker.

    Lists of addresses, models and providers are given anew and whole; limits and notes one by one.
    """
    values = options.given(name=name, environment=environment, scopes=scope)
    values |= _one_of("--expires", "expires_at", expires, "--no-expiry", no_expiry)
    values |= _one_of("--allow-ip", "allowed_ips", allow_ip, "--any-ip", any_ip)
    values |= _one_of("--allow-model", "allowed_models", allow_model, "--any-model", any_model)
    values |= _one_of("--allow-provider", "allowed_providers", allow_provider, "--any-provider", any_provider)
    more = {"limits": options.limits(limit or ()), "metadata": options.notes(meta or ())}
    less = {"limits": no_limit or [], "metadata": no_meta or []}
    if not values and not any(more.values()) and not any(less.values()):
        stop("Nothing is to be changed: give an option, such as --allow-ip; --help lists them all.", code=2)
    document(KeyChanges, values)

    def changes(before: KeyRecord) -> KeyChanges:
        pairs = {field: _merged(field, getattr(before, field), more[field], less[field]) for field in more}
        return document(KeyChanges, values | {field: new for field, new in pairs.items() if new is not None})

    async def changed(services: Services) -> tuple[KeyRecord, Figures]:
        return await with_figures(services, await services.keys.update(key, changes, actor()))

    (row,) = rows_of([for_key(key, changed)])
    if as_json:
        say_json(row.as_json())
    else:
        card(row)


def revoke(
    key: options.Key,
    compromised: Annotated[
        bool,
        typer.Option("--compromised", help="It fell into wrong hands: note that, and report what it was used for."),
    ] = False,
    successor: Annotated[bool, typer.Option("--successor", help="Make a new key with the same rules.")] = False,
    since: options.Since = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """End a key now, in every worker within a second; streams that it has open end too.

    It cannot be undone. --since is from when on the report of --compromised counts.
    """
    if since is not None and not compromised:
        stop("--since belongs to the report of --compromised.", code=2)
    if since is not None and since > now():
        stop(f"--since: {shown(since)} is still to come, and the report would be empty; nothing was changed.", code=2)
    record = for_key(key, lambda services: services.keys.get(key))
    if not yes:
        _ask(f"Revoke {record.id}, {record.name} ({record.masked})?")

    async def ended(services: Services) -> tuple[KeyRecord, Created | None, Incident | None]:
        after, created = await services.keys.revoke(record.id, actor(), compromised=compromised, successor=successor)
        return after, created, await incident(services.usage, record.id, since) if compromised else None

    after, created, found = for_key(key, ended)
    if as_json:
        say_json(_as_json(after, created, found))
        return
    if created is not None:
        hand_out(created, as_json=False, quiet=quiet)
    if not quiet:
        say(f"Revoked {after.id} at {shown(after.revoked_at)}.", style="bold green", stderr=created is not None)
        if found is not None:
            report(found)
            say(f"`ai-gateway audit list --key {after.id}` shows what was done with the key itself.")


def _ask(question: str) -> None:
    """Goes on where the answer is yes; where there is nobody to answer, as in a script, it says what helps."""
    try:
        agreed = typer.confirm(visible(question), err=True)
    except typer.Abort:
        stop("", "Nothing was changed: nobody answered; --yes does not ask.")
    if not agreed:
        stop("Nothing was changed.")


def _as_json(after: KeyRecord, created: Created | None, found: Incident | None) -> dict[str, Any]:
    moment = now()
    successor = {**created.record.as_json(moment), "key": created.text} if created is not None else None
    return {**after.as_json(moment), "successor": successor, "incident": found.as_json() if found is not None else None}


def _one_of(option: str, field: str, value: Any, without: str, taken_away: bool) -> dict[str, Any]:
    if taken_away and value:
        stop(f"{option} and {without} contradict each other.", code=2)
    return {field: None} if taken_away else options.given(**{field: value})


def _merged(field: str, before: Mapping[str, Any], more: Mapping[str, Any], less: list[str]) -> dict[str, Any] | None:
    """All pairs anew, or None where nothing is said of them."""
    option = "--no-limit" if field == "limits" else "--no-meta"
    for name in less:
        if name not in before:
            stop(f"{option} {name}: the key has none; it has {', '.join(before) or 'none at all'}")
    if not more and not less:
        return None
    return {**{name: value for name, value in before.items() if name not in less}, **more}
