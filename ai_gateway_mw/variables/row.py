"""One variable, and the phases and types that many of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ai_gateway_mw.cel import STRING, ListType, MapType, Type
from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import Phase

ALL = frozenset(Phase)
HTTP = ALL - {Phase.ON_TCP_CONNECT}
ANSWER = frozenset({Phase.ON_HTTP_RESPONSE, Phase.ON_EVENT_STREAM_MESSAGE})
STRINGS = ListType(STRING)
MULTIMAP = MapType(STRING, STRINGS)


class Row(NamedTuple):
    """One variable: its type, how it is read from a Context, and the phases that know it."""

    name: str
    type: Type
    read: Callable[[Context], Any]
    phases: frozenset[Phase]
    doc: str
