"""Kinds of parameters that several operations take; each is as strict as its JSON Schema."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from ai_gateway_mw.keys.store import Moment

KEY_ID: Final = r"^key_[0-9a-f]{23}$"
_DIGITS: Final = re.compile(r"[0-9]{1,16}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_PRINTED: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MOST: Final = 2**53


def is_key_id(text: str) -> bool:
    """Whether it can be the id of a stored key; what cannot is not looked for."""
    return re.fullmatch(KEY_ID, text) is not None and "\n" not in text


def _key_id(text: str) -> str:
    if not is_key_id(text):
        raise ValueError("it is not the id of a key, such as key_0199aa11bb2c4de0f1a2b3c")
    return text


def _number(value: Any) -> Any:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("it is not a number")
    return value


def _day(value: Any) -> Any:
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("a day is written as 2027-01-31")
    return value


def _printable(text: str) -> str:
    if _NOT_PRINTED.search(text):
        raise ValueError("it has control characters")
    return text


KeyID = Annotated[str, AfterValidator(_key_id), Field(json_schema_extra={"pattern": KEY_ID})]
Limit = Annotated[int, Field(ge=1, le=200), BeforeValidator(_number)]
Seq = Annotated[int, Field(ge=1, le=_MOST), BeforeValidator(_number)]
Part = Annotated[
    str,
    Field(min_length=1, max_length=100),
    AfterValidator(_printable),
    Field(json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]+$"}),
]
Since = Moment
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
