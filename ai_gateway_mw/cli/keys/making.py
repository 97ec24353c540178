"""`keys create`, `rotate` and `new`: the key itself is printed once on standard output, all else on standard error."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from ai_gateway_mw.cli.console import say, say_json, say_problem
from ai_gateway_mw.cli.installed import actor, document, for_key, with_services
from ai_gateway_mw.cli.keys import options
from ai_gateway_mw.cli.moments import now, shown, span
from ai_gateway_mw.errors import Problem
from ai_gateway_mw.keys import generate, name_hint
from ai_gateway_mw.keys.store import Created, KeyRecord, NewKey
from ai_gateway_mw.services import Services


def create(
    name: Annotated[str, typer.Argument(help="Such as `production-api-primary`.", metavar="NAME")],
    environment: options.Environment = None,
    scope: options.Scopes = None,
    expires: options.Expires = None,
    allow_ip: options.AllowIPs = None,
    allow_model: options.AllowModels = None,
    allow_provider: options.AllowProviders = None,
    limit: options.Limits = None,
    meta: options.Meta = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a key and print it, this once.

    It works at once in every gateway of this installation whose policy has `gateway-auth` without keys of its own.
    """
    values = options.given(
        name=name,
        environment=environment,
        scopes=scope,
        expires_at=expires,
        allowed_ips=allow_ip,
        allowed_models=allow_model,
        allowed_providers=allow_provider,
        limits=options.limits(limit or ()),
        metadata=options.notes(meta or ()),
    )
    wanted = document(NewKey, values)

    async def made(services: Services) -> Created:
        return await services.keys.create(wanted, actor())

    created = with_services(made)
    hand_out(created, as_json=as_json, quiet=quiet)
    if not quiet and (hint := name_hint(created.record.name)):
        say_problem(Problem(hint, severity="warning"), stderr=True)


def rotate(
    key: options.Key,
    grace: Annotated[
        timedelta,
        typer.Option(parser=span, metavar="DURATION", help="How long the old key goes on working; 0 for a leaked one."),
    ] = "24h",  # type: ignore[assignment]  # typer parses defaults too
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a successor with the same name and rules, and print it, this once.

    Both keys work until the grace is over; then the old one does not.
    """

    async def succeeded(services: Services) -> tuple[KeyRecord, Created]:
        made = await services.keys.rotate(key, actor(), grace=grace)
        assert made.record.rotated_from is not None
        return await services.keys.get(made.record.rotated_from), made

    old, created = for_key(key, succeeded)
    hand_out(created, as_json=as_json, quiet=quiet)
    if not quiet:
        until = f"works until {shown(old.ends)}" if grace else "does not work any more"
        uses = "uses" if grace else "used"
        say(f"{old.id} ({old.masked}) {until}; `ai-gateway keys callers {old.id}` tells who {uses} it.", stderr=True)


def new() -> None:
    """Make a key that is stored nowhere, for a policy that declares its keys.

    A policy takes it in the `keys` of its `gateway-auth` action, best from a secret. `create` makes one that can be
    listed, limited and revoked.
    """
    print(generate())
    say("This key is shown once. Clients send it as `Authorization: Bearer ...`; the policy takes it in", stderr=True)
    say("`gateway-auth` under `keys`, as `value: ${secrets.get('VAULT', 'NAME')}`.", stderr=True)


def hand_out(created: Created, *, as_json: bool, quiet: bool) -> None:
    """Show a new key, the only time that it can be shown."""
    record = created.record
    if as_json:
        say_json({**record.as_json(now()), "key": created.text})
        return
    print(created.text)
    if not quiet:
        expires = f", expires {shown(record.expires_at)}" if record.expires_at else ""
        say(f"{record.id} {record.name} ({', '.join(record.scopes)}{expires})", style="bold green", stderr=True)
        say(
            "The key is shown this once: copy it now. Clients send it as `Authorization: Bearer gw_sk_...`,",
            stderr=True,
        )
        say("which is where SDKs put their api_key.", stderr=True)
