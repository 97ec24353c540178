"""The limits of one gateway key: the document that states them, and the bounds that are counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

from pydantic import BeforeValidator, Field, WithJsonSchema

from ai_gateway_mw.limits.windows import Calendar, Sliding, Window
from ai_gateway_mw.policy import ActionConfig

Unit = Literal["requests", "tokens", "input tokens", "output tokens", "USD"]

NANO: Final = 1_000_000_000  # billionths of a dollar in a dollar
_MOST: Final = 10**15
_MOST_DOLLARS: Final = 999_999_999.999999


_SMALLEST: Final = Decimal("0.000001")  # of a dollar


def _money(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be an amount of dollars, such as `5` or `2.50`")
    if isinstance(value, float) and 0 <= value <= _MOST_DOLLARS:
        return Decimal(repr(value)).quantize(_SMALLEST)  # a number of JSON is as exact as it happens to be
    return value


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 60.0 is 60."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Requests = Annotated[Annotated[int, Field(ge=1, le=_MOST)] | None, BeforeValidator(_whole)]
_Tokens = Annotated[Annotated[int, Field(ge=0, le=_MOST)] | None, BeforeValidator(_whole)]
# At most 15 digits: so many a JSON number keeps exactly.
_Dollars = Annotated[
    Annotated[Decimal, Field(ge=0, max_digits=15, decimal_places=6)] | None,
    BeforeValidator(_money),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": _MOST_DOLLARS}, {"type": "null"}]}),
]


class LimitsDocument(ActionConfig):
    """What a gateway key may use; what is left out is not limited."""

    requests_per_minute: _Requests = Field(None, description="Requests in any 60 seconds, at least 1.")
    requests_per_hour: _Requests = Field(None, description="Requests in any 60 minutes, at least 1.")
    requests_per_day: _Requests = Field(None, description="Requests in any 24 hours, at least 1.")
    tokens_per_minute: _Tokens = Field(None, description="Tokens of input and output together in any 60 seconds.")
    tokens_per_day: _Tokens = Field(None, description="Tokens of input and output together in any 24 hours.")
    input_tokens_per_minute: _Tokens = Field(None, description="Tokens of input in any 60 seconds.")
    input_tokens_per_day: _Tokens = Field(None, description="Tokens of input in any 24 hours.")
    output_tokens_per_minute: _Tokens = Field(None, description="Tokens of output in any 60 seconds.")
    output_tokens_per_day: _Tokens = Field(None, description="Tokens of output in any 24 hours.")
    concurrent_requests: _Requests = Field(None, description="Requests that are under way at once, at least 1.")
    usd_per_day: _Dollars = Field(None, description="Dollars in a day, which begins at midnight UTC; 0 for none.")
    usd_per_month: _Dollars = Field(None, description="Dollars in a calendar month, by UTC; 0 for none.")


class Bound(NamedTuple):
    """One limit over one window, as it is counted; `text` names it to the client."""

    unit: Unit
    window: Window
    limit: int
    text: str


_MINUTE, _HOUR, _DAY = Sliding(60), Sliding(3600), Sliding(86_400)
_REQUESTS: Final[tuple[tuple[str, Unit, Window, str], ...]] = (
    ("requests_per_minute", "requests", _MINUTE, "minute"),
    ("requests_per_hour", "requests", _HOUR, "hour"),
    ("requests_per_day", "requests", _DAY, "day"),
)
_USE: Final[tuple[tuple[str, Unit, Window, str], ...]] = (
    ("tokens_per_minute", "tokens", _MINUTE, "minute"),
    ("tokens_per_day", "tokens", _DAY, "day"),
    ("input_tokens_per_minute", "input tokens", _MINUTE, "minute"),
    ("input_tokens_per_day", "input tokens", _DAY, "day"),
    ("output_tokens_per_minute", "output tokens", _MINUTE, "minute"),
    ("output_tokens_per_day", "output tokens", _DAY, "day"),
    ("nano_usd_per_day", "USD", Calendar("day"), "day"),
    ("nano_usd_per_month", "USD", Calendar("month"), "month"),
)


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """The same as a value: None is no limit, and money is in billionths of a dollar."""

    none: ClassVar[KeyLimits]

    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    input_tokens_per_minute: int | None = None
    input_tokens_per_day: int | None = None
    output_tokens_per_minute: int | None = None
    output_tokens_per_day: int | None = None
    concurrent_requests: int | None = None
    nano_usd_per_day: int | None = None
    nano_usd_per_month: int | None = None
    of_requests: tuple[Bound, ...] = field(init=False, repr=False, compare=False)
    of_use: tuple[Bound, ...] = field(init=False, repr=False, compare=False)  # tokens and money
    is_none: bool = field(init=False, repr=False, compare=False)
    has_budget: bool = field(init=False, repr=False, compare=False)  # money is limited

    def __post_init__(self) -> None:
        object.__setattr__(self, "of_requests", self._bounds(_REQUESTS))
        object.__setattr__(self, "of_use", self._bounds(_USE))
        is_none = not (self.of_requests or self.of_use) and self.concurrent_requests is None
        object.__setattr__(self, "is_none", is_none)
        object.__setattr__(self, "has_budget", any(bound.unit == "USD" for bound in self.of_use))

    @classmethod
    def of(cls, document: LimitsDocument) -> KeyLimits:
        """The limits that a document states."""
        stated = document.model_dump(exclude_none=True)
        return cls(**{_inside(name): _counted(value) for name, value in stated.items()})

    def to_json(self) -> dict[str, int | float]:
        """The document again, as plain JSON: only what is set."""
        written: dict[str, int | float] = {}
        for name in LimitsDocument.model_fields:
            value = getattr(self, _inside(name))
            if value is not None:
                written[name] = _dollars(value) if name.startswith("usd") else value
        return written

    def _bounds(self, rows: tuple[tuple[str, Unit, Window, str], ...]) -> tuple[Bound, ...]:
        bounds = []
        for name, unit, window, per in rows:
            limit = getattr(self, name)
            if limit is not None:
                shown = _dollars(limit) if unit == "USD" else limit
                bounds.append(Bound(unit, window, limit, f"{shown} {unit} per {per}"))
        return tuple(bounds)


KeyLimits.none = KeyLimits()


def _inside(name: str) -> str:
    return f"nano_{name}" if name.startswith("usd") else name


def _counted(value: int | Decimal) -> int:
    return int(value * NANO) if isinstance(value, Decimal) else value


def _dollars(nano: int) -> int | float:
    return nano // NANO if nano % NANO == 0 else nano / NANO
