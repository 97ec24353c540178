"""Delivery: a webhook as it arrived, and the readings of it that signatures are made over."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from ai_gateway_mw.headers import Fields

TOLERANCE: Final = 180.0  # seconds, where a provider says nothing else
FIVE_MINUTES: Final = 300.0
_MILLISECONDS: Final = 1e11  # a number of seconds that is larger lies beyond the year 5000
_MAX_FORM_FIELDS: Final = 1_000


class Unverified(Exception):
    """The delivery is not from whom it should be; the message holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """`origin` is scheme and host as the provider calls them, `target` path and query as they were sent."""

    method: str
    origin: str
    target: str
    fields: Fields
    body: bytes

    @property
    def url(self) -> str:
        return self.origin + self.target

    def field(self, name: str) -> str:
        """A field's value, empty where there is none. Raises `Unverified` where there are two that differ."""
        values = self.fields.texts(name)
        if len(set(values)) > 1:
            raise Unverified(f"`{name}` is there more than once")
        return values[0].strip() if values else ""

    def needed(self, name: str) -> str:
        """The same for a field that must be there."""
        value = self.field(name)
        if not value:
            raise Unverified(f"there is no field `{name}`")
        return value

    def json(self) -> dict[str, Any]:
        """The JSON object in the body. Raises `Unverified`."""
        try:
            made = json.loads(self.body)
        except (ValueError, RecursionError):
            made = None
        if not isinstance(made, dict):
            raise Unverified("the body is no JSON object")
        return made

    def form(self) -> list[tuple[str, str]]:
        """The fields of a form in the body, none where it is something else. Raises `Unverified`."""
        if not self.field("content-type").lower().startswith("application/x-www-form-urlencoded"):
            return []
        return pairs(self.body)


Scheme = Callable[[Delivery, str, float], None]
"""Checks a delivery with a secret, at a time. Raises `Unverified`."""


def pairs(text: bytes | str) -> list[tuple[str, str]]:
    """The parameters of a query or a form. Raises `Unverified`."""
    plain = text.decode("latin-1") if isinstance(text, bytes) else text
    try:
        return parse_qsl(plain, keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise Unverified("it has too many parameters") from None


def check_time(text: str, now: float, tolerance: float) -> None:
    """Raises `Unverified` for a time that is no time, or too far from now: a delivery could be replayed for ever."""
    try:
        seconds = float(text) if text.isascii() and text.isdigit() else _moment(text)
    except ValueError:
        raise Unverified("its timestamp is no time") from None
    if seconds > _MILLISECONDS:
        seconds /= 1_000
    if not abs(now - seconds) <= tolerance:
        raise Unverified("its timestamp is too old, or in the future")


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = datetime.fromisoformat(f"{text}+00:00")  # Orb leaves its zone out, and means UTC
    return moment.timestamp()
