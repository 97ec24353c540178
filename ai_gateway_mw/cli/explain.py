"""`ai-gateway explain`: what a policy would do with one request, and why. It sends nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ai_gateway_mw.cli.console import say, say_json, stop
from ai_gateway_mw.cli.loading import settings_or_stop
from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.explain import (
    CANNED_APP,
    Asked,
    Course,
    NoRequest,
    Rehearsal,
    body_of,
    explained,
    field_of,
    from_curl,
    from_file,
    from_har,
    lines_of,
)
from ai_gateway_mw.middleware import Gateway, GatewayMiddleware
from ai_gateway_mw.policy import load_file
from ai_gateway_mw.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
def explain(
    policy: Annotated[Path, typer.Argument(help="The policy.", metavar="POLICY")],
    method: Annotated[str | None, typer.Option("--method", help="POST where nothing else is said.")] = None,
    path: Annotated[str | None, typer.Option("--path", help="With its query, if it has one.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="`name: value`; may be repeated.")] = None,
    body: Annotated[str | None, typer.Option("--body", help="The body, or `@FILE`.", metavar="TEXT|@FILE")] = None,
    ip: Annotated[str | None, typer.Option("--ip", help="The address that it comes from.")] = None,
    curl: Annotated[str | None, typer.Option("--curl", help="The request of this curl command.")] = None,
    har: Annotated[str | None, typer.Option("--har", help="An entry of a HAR file.", metavar="FILE[#N]")] = None,
    request: Annotated[Path | None, typer.Option("--request", help="A request as a JSON file.")] = None,
    exchange: Annotated[
        str | None,
        typer.Option(
            "--exchange",
            help="An exchange of a file for `ai-gateway test`, after those before it: with what was learned of keys, "
            "and the answers that it gives to providers.",
            metavar="FILE[#N]",
        ),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Pretend that the client has the key of this name.")] = None,
    intercept_all: Annotated[
        bool,
        typer.Option("--intercept-all", help='Every path is under the policy, as around an app with intercept="all".'),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell what a policy would do with a request, and why.

    Which rules match, which models and keys would be tried in which order, and what would be sent. Nothing is sent
    and no database is opened: providers answer with a canned 200, and secrets that are missing have
    placeholders. Ends with 0 whatever the answer would be, 1 where the policy cannot be used, 2 for wrong usage.
    """
    settings = settings_or_stop(code=2)
    try:
        asked = _asked(curl, har, request, exchange)
        if exchange is not None and intercept_all:
            raise NoRequest("--exchange and --intercept-all do not go together")
        more = tuple(map(field_of, header or ()))
        content = None if body is None else body_of(body)

        def edited(asked: Asked) -> Asked:
            return replace(
                asked,
                method=method or asked.method,
                target=path or asked.target,
                fields=(*asked.fields, *more),
                body=asked.body if content is None else content,
                ip=asked.ip if ip is None else ip,
            )

        if exchange is not None:
            course = asyncio.run(explained(exchange, load_file(policy, strict=False), settings, Gateway, edited, key))
        else:
            course = asyncio.run(_course(policy, settings, edited(asked), key, intercept_all=intercept_all))
    except NoRequest as error:
        stop(str(error), code=2)
    except PolicyError as error:
        stop(*error.problems)
    if as_json:
        say_json(course.as_json())
    else:
        for text, style in lines_of(course, scripted=exchange is not None):
            say(text, style=style)


def _asked(curl: str | None, har: str | None, request: Path | None, exchange: str | None) -> Asked:
    given = [each for each in (curl, har, request, exchange) if each is not None]
    if len(given) > 1:
        raise NoRequest("give one of --curl, --har, --request and --exchange")
    if curl is not None:
        return from_curl(curl)
    if har is not None:
        return from_har(har)
    return Asked() if request is None else from_file(request)


async def _course(policy: Path, settings: Settings, asked: Asked, key: str | None, *, intercept_all: bool) -> Course:
    async with Rehearsal(load_file(policy, strict=False), settings, Gateway) as rehearsal:
        if intercept_all:
            rehearsal.app = GatewayMiddleware(CANNED_APP, gateway=rehearsal.gateway, intercept="all")
        return await rehearsal.ask(asked, key)
