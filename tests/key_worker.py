"""A process of its own that does to keys what it reads from its standard input, one JSON list a line."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any

from ai_gateway_mw.audit import Actor
from ai_gateway_mw.keys.store import KeyNotFound, KeyRefused, NewKey
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings

OTHER = Actor("cli:other")


async def done(services: Services, what: str, *arguments: str) -> dict[str, Any]:
    match what, *arguments:
        case "create", name:
            created = await services.keys.create(NewKey(name=name), OTHER)
        case "rotate", wanted:
            created = await services.keys.rotate(wanted, OTHER, grace=timedelta(hours=1))
        case "revoke", wanted:
            record, _ = await services.keys.revoke(wanted, OTHER)
            return {"id": record.id}
        case "note", count:
            for number in range(int(count)):
                await services.keys.create(NewKey(name=f"{OTHER.name}-{number}-{id(services)}"), OTHER)
            return {"id": count}
        case _:
            return {"id": what}
    return {"id": created.record.id, "text": created.text}


async def main() -> None:
    async with await Services.open(Settings()) as services:
        for line in sys.stdin:
            try:
                result = await done(services, *json.loads(line))
            except (KeyNotFound, KeyRefused) as error:
                result = {"error": str(error)}
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
