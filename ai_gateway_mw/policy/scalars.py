"""What an unquoted YAML scalar means: the YAML 1.2 core schema, less what YAML versions read differently.

So `no`, `on`, `012`, `1:30`, `1_000` and dates are text, and so are `.inf` and `.nan`, which no setting can use.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...] = (
    (re.compile(r"[-+]?(0|[1-9][0-9]*)"), lambda text: int(text) if len(text) < 25 else math.inf),
    (re.compile(r"0o[0-7]+"), lambda text: int(text, 0)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
)
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def plain_scalar(text: str) -> str | bool | int | float | None:
    """The value of an unquoted scalar. Raises ValueError for a number that 64 bits cannot hold."""
    if text in _WORDS:
        return _WORDS[text]
    for form, convert in _NUMBERS:
        if form.fullmatch(text):
            return _fitting(convert(text))
    return text


def _fitting(number: int | float) -> int | float:
    if not (_SMALLEST <= number <= _LARGEST if isinstance(number, int) else math.isfinite(number)):
        raise ValueError("this number is too large; put it in quotes if it is meant as text")
    return number
