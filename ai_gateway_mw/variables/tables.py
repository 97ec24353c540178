"""All variables and functions of the exchange, by the phases that know them."""

from __future__ import annotations

from collections.abc import Iterable

from ai_gateway_mw.cel import Overload, Variable
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.variables.connection import NO_SOURCES, Sources, connection_rows
from ai_gateway_mw.variables.endpoint import endpoint_rows
from ai_gateway_mw.variables.exchange import EVERYWHERE, EXCHANGE_ROWS, REQUEST, RESPONSE
from ai_gateway_mw.variables.results import RESULT_ROWS
from ai_gateway_mw.variables.row import ANSWER, HTTP, Row
from ai_gateway_mw.variables.sayings import SAYING_ROWS

_BODY = frozenset({"req.body", "req.ts.body_received", "ai.request.text", "ai.request.messages"})
_SAID = frozenset({"ai.response.text", "ai.response.delta"})


def _rows(sources: Sources) -> tuple[Row, ...]:
    endpoint = endpoint_rows(sources.endpoint_id)
    return (*connection_rows(sources), *endpoint, *EXCHANGE_ROWS, *RESULT_ROWS, *SAYING_ROWS)


ROWS = _rows(NO_SOURCES)


def variables(phase: Phase, sources: Sources = NO_SOURCES) -> tuple[Variable, ...]:
    """The variables that a phase may read, some of them from what else the process knows."""
    rows = ROWS if sources is NO_SOURCES else _rows(sources)
    return tuple(Variable(row.name, row.type, row.read, row.doc) for row in rows if phase in row.phases)


def variables_elsewhere(phase: Phase) -> dict[str, tuple[Phase, ...]]:
    """Variables that exist, but not in this phase, with the phases that have them: for error messages."""
    return {row.name: tuple(sorted(row.phases)) for row in ROWS if phase not in row.phases}


def functions(phase: Phase) -> tuple[Overload, ...]:
    """The functions that read a Context."""
    return (*EVERYWHERE, *(REQUEST if phase in HTTP else ()), *(RESPONSE if phase in ANSWER else ()))


def functions_elsewhere(phase: Phase) -> dict[str, tuple[Phase, ...]]:
    """The same of functions that read a Context."""
    known = {each.name: phases for phases, rows in ((HTTP, REQUEST), (ANSWER, RESPONSE)) for each in rows}
    return {name: tuple(sorted(phases)) for name, phases in known.items() if phase not in phases}


def reads_body(names: Iterable[str]) -> bool:
    """Whether the body must have been read before an expression with these variables runs."""
    return not _BODY.isdisjoint(names)


def reads_answer(names: Iterable[str]) -> bool:
    """Whether what an answer says must be followed for an expression with these variables."""
    return not _SAID.isdisjoint(names)
