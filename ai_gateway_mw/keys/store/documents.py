"""What may be said of a key when it is made or changed; checked whole before anything is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from ai_gateway_mw.addresses import parse_network
from ai_gateway_mw.keys import Scope
from ai_gateway_mw.limits import KeyLimits, LimitsDocument

_MAX_LIST: Final = 1_000
_MAX_NOTES: Final = 50
# Control characters, what turns the direction of a line around, and halves of characters, which no database keeps.
_NOT_PRINTED: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")
_FIRST_YEAR, _LAST_YEAR = 1970, 2999


def _printable(text: str) -> str:
    if _NOT_PRINTED.search(text):
        raise ValueError("it has control characters")
    return text


def _name(text: str) -> str:
    if text != text.strip():
        raise ValueError("it begins or ends with a space")
    if text.startswith("key_"):
        raise ValueError("names that begin with `key_` are for ids")
    return _printable(text)


def _network(text: str) -> str:
    """A range in its usual spelling; a single address is one of its whole length."""
    text = text.strip()
    whole = text if "/" in text else f"{text}/{'128' if ':' in text else '32'}"
    with suppress(ValueError):
        return str(parse_network(whole))
    raise ValueError(f"`{text[:50]}` is no address and no CIDR range such as 10.0.0.0/8")


def _pattern(text: str) -> str:
    if not text.removeprefix("!"):
        raise ValueError("an empty pattern matches nothing")
    return _printable(text)


def _scopes(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    if Scope.ADMIN in scopes:
        raise ValueError("the admin plane has a token of its own, and no gateway key opens it")
    return tuple(dict.fromkeys(scopes))


def _moment(value: Any) -> Any:
    """A time as text needs a zone, as pydantic checks; a number would be a guess, also one in quotes."""
    if isinstance(value, int | float) or (isinstance(value, str) and not _TIME.match(value)):
        raise ValueError("a time is written as 2027-01-31T12:00:00Z")
    return value


def _within_reach(moment: datetime) -> datetime:
    """In UTC. A lifetime is added to the time of each rotation, and the sum has to be a time as well."""
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"it is not within the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment.astimezone(UTC)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _matching(pattern: str) -> Any:
    """What a validator refuses, for JSON Schema."""
    return Field(json_schema_extra={"pattern": pattern})


_PRINTED: Final = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]"
_Printable = Annotated[str, AfterValidator(_printable), _matching(f"^{_PRINTED}*$")]

Name = Annotated[
    str, Field(min_length=1, max_length=100), AfterValidator(_name), _matching(rf"^(?!key_)(?!\s){_PRINTED}*(?<!\s)$")
]
Environment = Annotated[_Printable, Field(max_length=50)]
Scopes = Annotated[
    tuple[Scope, ...],
    Field(min_length=1, max_length=3),
    AfterValidator(_scopes),
    Field(json_schema_extra={"items": {"enum": [scope.value for scope in Scope if scope is not Scope.ADMIN]}}),
]
_Range = Annotated[str, AfterValidator(_network), Field(json_schema_extra={"format": "cidr"})]
Ranges = Annotated[tuple[_Range, ...], Field(max_length=_MAX_LIST)]
_Pattern = Annotated[str, Field(max_length=200), AfterValidator(_pattern), _matching(rf"^(?!!?$){_PRINTED}+$")]
Patterns = Annotated[tuple[_Pattern, ...], Field(max_length=_MAX_LIST)]
_Note = Annotated[_Printable, Field(max_length=500)]
_NoteName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Notes = Annotated[
    dict[_NoteName, _Note],
    Field(
        max_length=_MAX_NOTES,
        json_schema_extra={"propertyNames": {"minLength": 1, "maxLength": 64, "pattern": f"^{_PRINTED}*$"}},
    ),
]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_within_reach)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NewKey(_Document):
    """A key that is to be made. A list that is omitted allows all, an empty one nothing."""

    name: Name = Field(description="Such as `production-api-primary`; no two keys in use have the same.")
    environment: Environment = Field("", description="Such as `production`; by default what the name begins with.")
    scopes: Scopes = Field((Scope.FULL,), description="What it may be used for: `read`, `chat` or `full`.")
    expires_at: Moment | None = Field(None, description="When it stops working; with a time zone.")
    allowed_ips: Ranges | None = Field(None, description="CIDR ranges (RFC 4632) or addresses it may be used from.")
    allowed_models: Patterns | None = Field(None, description="Models it may be used for, as globs; `!` forbids.")
    allowed_providers: Patterns | None = Field(None, description="Providers it may be used for, as globs.")
    limits: LimitsDocument = Field(LimitsDocument(), description="How much it may be used.")
    metadata: Notes = Field(default_factory=dict, description="Notes, which expressions can read.")

    def columns(self) -> dict[str, Any]:
        """The columns with their values."""
        return {name: _as_stored(getattr(self, name)) for name in type(self).model_fields}


def _never_null(schema: dict[str, Any]) -> None:
    """Left out it stays as it is; as null it would be taken away, and that cannot be."""
    schema |= next(choice for choice in schema.pop("anyOf") if choice.get("type") != "null")


class KeyChanges(_Document):
    """What is to be other than it was; what is not given stays, and null takes a rule away."""

    name: Name | None = Field(None, description="Another name.", json_schema_extra=_never_null)
    environment: Environment | None = Field(None, description="Another environment.")
    scopes: Scopes | None = Field(
        None, description="What it may be used for from now on.", json_schema_extra=_never_null
    )
    expires_at: Moment | None = Field(None, description="When it stops working; null: never.")
    allowed_ips: Ranges | None = Field(None, description="CIDR ranges; null: from anywhere.")
    allowed_models: Patterns | None = Field(None, description="Models; null: all.")
    allowed_providers: Patterns | None = Field(None, description="Providers; null: all.")
    limits: LimitsDocument | None = Field(None, description="All limits anew; null: none.")
    metadata: Notes | None = Field(None, description="All notes anew; null: none.")

    def given(self) -> dict[str, Any]:
        """The columns to change with their values."""
        values = {name: _as_stored(getattr(self, name)) for name in self.model_fields_set}
        for name, without in _WITHOUT.items():
            if name in values and values[name] is None:
                values[name] = without
        return values


def _as_stored(value: Any) -> Any:
    return KeyLimits.of(value).to_json() if isinstance(value, LimitsDocument) else value


_WITHOUT: Final[dict[str, Any]] = {"environment": "", "limits": {}, "metadata": {}}


def is_past(moment: datetime | None, now: datetime) -> bool:
    """Whether a time that should be ahead is not."""
    return moment is not None and moment <= now


def plain(values: Sequence[Any] | None) -> list[str] | None:
    """A list as JSON columns keep it."""
    return None if values is None else [str(value) for value in values]
