"""Operations on the gateway itself: its health, its policy, and the description of this API."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

import sqlalchemy as sa

from ai_gateway_mw.admin.operations import Call
from ai_gateway_mw.admin.policy_text import shown
from ai_gateway_mw.admin.refusals import busy, json_answer
from ai_gateway_mw.compiler import compile_policy
from ai_gateway_mw.errors import DatabaseUnavailable, KeyStoreUnavailable, PolicyError, Problem
from ai_gateway_mw.policy import Policy, load_policy
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.version import VERSION

_NAME: Final = "policy.yaml"  # of a text that comes without one
_WAITING: Final = 4


async def health(call: Call) -> Reply:
    gateway = call.gateway
    database, missing = await _database(call), len(gateway.missing_secrets())
    good = database["status"] == "ok" and not missing
    policy = {"sha256": _sha256(gateway.policy), "warnings": len(gateway.warnings), "missing_secrets": missing}
    status = "ok" if good else "degraded"
    return json_answer(200, {"status": status, "version": VERSION, "database": database, "policy": policy})


async def policy(call: Call) -> Reply:
    gateway = call.gateway
    document = gateway.policy.document
    answer = {
        "name": document.name,
        "sha256": _sha256(gateway.policy),
        "text": shown(document, gateway.stores.secrets.redact),
        "warnings": [problem.as_json(document.name) for problem in gateway.warnings],
    }
    return json_answer(200, answer)


class Checks:
    """Policies that are checked, one after the other: it is work for the processor, and requests want it too."""

    def __init__(self) -> None:
        self._alone = asyncio.Lock()
        self._asking = 0

    async def checked(self, call: Call) -> Reply:
        if self._asking >= _WAITING:
            raise busy()
        self._asking += 1
        try:
            async with self._alone:
                problems = await asyncio.to_thread(_problems, call.body, call.gateway.stores)
        finally:
            self._asking -= 1
        valid = not any(problem.severity == "error" for problem in problems)
        redact = call.gateway.stores.secrets.redact
        return json_answer(200, {"valid": valid, "problems": [_row(problem, redact) for problem in problems]})


def _row(problem: Problem, redact: Any) -> dict[str, Any]:
    row = problem.as_json(_NAME)
    return {**row, "message": redact(row["message"]), "hint": redact(row["hint"])}


def _problems(text: str, stores: Stores) -> tuple[Problem, ...]:
    """As `ai-gateway check` finds them; what is compiled here serves nobody, and touches nothing that does."""
    apart = Stores(stores.settings, secrets=stores.secrets)
    apart.__dict__["catalog"] = stores.catalog
    try:
        _, warnings = compile_policy(load_policy(text, name=_NAME, strict=False), apart)
    except PolicyError as error:
        return error.problems
    return warnings


async def _database(call: Call) -> dict[str, Any]:
    kind = None
    try:
        database = (await call.services()).installation.database
        kind = database.kind
        async with database.reading() as connection:
            await connection.execute(sa.text("SELECT seq FROM audit_head"))
    except (DatabaseUnavailable, KeyStoreUnavailable):
        return {"status": "unavailable", "kind": kind}
    return {"status": "ok", "kind": kind}


def _sha256(policy: Policy) -> str:
    return hashlib.sha256(policy.document.file_text.encode("utf-8", "surrogatepass")).hexdigest()
