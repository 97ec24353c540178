"""The services of this installation for commands: what keeps them from being used ends the command with a message."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ai_gateway_mw.audit import Actor, Happening
from ai_gateway_mw.cli.console import stop
from ai_gateway_mw.cli.loading import settings_or_stop
from ai_gateway_mw.database import database_of
from ai_gateway_mw.errors import DatabaseUnavailable, InstallationError
from ai_gateway_mw.keys.store import KeyNotFound, KeyRefused
from ai_gateway_mw.limits import LimitsDocument
from ai_gateway_mw.policy import demand
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings

T = TypeVar("T")
D = TypeVar("D", bound=BaseModel)

Work = Callable[[Services], Awaitable[T]]


def actor() -> Actor:
    """Who is at the command line, for the audit log."""
    try:
        return Actor(f"cli:{getpass.getuser()}")
    except (KeyError, OSError):  # a user id without a name, as in a container
        return Actor("cli")


def stored(settings: Settings) -> bool:
    """Whether there may be a database already: only to look at it none is made. Raises `InstallationError`."""
    try:
        return database_of(settings.data_dir, settings.database_url).exists
    except ValueError as error:
        raise InstallationError(f"AI_GATEWAY_DATABASE_URL: {error}") from None


def with_services(work: Work[T]) -> T:
    """What the work returns, or the end of the command; a database that is missing is made."""
    settings = settings_or_stop()
    with refusals():
        return asyncio.run(_done(settings, work))


def where_stored(work: Work[T]) -> T | None:
    """The same where there is a database; None where nothing was ever stored, and then nothing is."""
    settings = settings_or_stop()
    with refusals():
        return asyncio.run(_done(settings, work)) if stored(settings) else None


def for_key(key: str, work: Work[T]) -> T:
    """The same for a key, which cannot be there where nothing was ever stored."""
    found = where_stored(work)
    return found if found is not None else stop(str(KeyNotFound(key)))


async def _done(settings: Settings, work: Work[T]) -> T:
    async with await Services.open(settings) as services:
        return await work(services)


@contextmanager
def refusals() -> Iterator[None]:
    """What the services refuse, and why they cannot be had, ends the command."""
    try:
        yield
    except KeyRefused as refused:
        message = f"{option_of(refused.field)}: {refused}" if refused.field else str(refused)
    except DatabaseUnavailable as error:
        stop(f"the database cannot be used: {error}", _WHERE)
    except (KeyNotFound, InstallationError) as error:
        message = str(error)
    else:
        return
    stop(message)


_WHERE: Final = "AI_GATEWAY_DATABASE_URL says where it is, or AI_GATEWAY_DATA_DIR; `ai-gateway doctor` shows both."
_OPTIONS: Final = {
    "name": "NAME",
    "scopes": "--scope",
    "expires_at": "--expires",
    "allowed_ips": "--allow-ip",
    "allowed_models": "--allow-model",
    "allowed_providers": "--allow-provider",
    "limits": "--limit",
    "metadata": "--meta",
}


def option_of(field: str) -> str:
    """What a field of a key is called at the command line."""
    return _OPTIONS.get(field, f"--{field}")


def document(kind: type[D], values: Mapping[str, Any]) -> D:
    """The document of these values; what is wrong with them ends the command, all of it at once."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    return stop(*dict.fromkeys(map(_fault, found)), code=2)


def _fault(one: ErrorDetails) -> str:
    field, *steps = one["loc"]
    named = [step for step in steps[:1] if isinstance(step, str)]  # of a pair, by its name
    unknown = f"there is no such limit; there are {', '.join(LimitsDocument.model_fields)}"
    text = unknown if one["type"] == "extra_forbidden" else demand(one)
    return f"{' '.join([option_of(str(field)), *named])}: {text}"


def recorded(settings: Settings, happening: Happening, change: Callable[[], object]) -> None:
    """Make a change that is stored elsewhere than in the database, and write it to the audit log if there is one.

    The row is written first and the change made before its transaction ends: a log that cannot be written prevents the
    change, and a change that fails leaves no row.
    """
    with refusals():
        if stored(settings):
            asyncio.run(_recorded(settings, happening, change))
        else:
            change()


async def _recorded(settings: Settings, happening: Happening, change: Callable[[], object]) -> None:
    changed = False
    try:
        async with await Services.open(settings) as services, services.installation.database.writing() as connection:
            await services.audit.append(connection, happening)
            change()
            changed = True
    except DatabaseUnavailable as error:
        what = "the change was made, but it is not in the audit log" if changed else "nothing was changed"
        raise DatabaseUnavailable(f"{error}; {what}") from None
