"""Regular expressions: RE2 only, so that no pattern takes more than linear time."""

from __future__ import annotations

from typing import Any

import re2

from ai_gateway_mw.cel.problems import EvaluationError

# Which argument of a function is a pattern, counting the receiver as 0: literal ones are checked at load.
PATTERN_ARGUMENT = {"matches": 1, "regex.extract": 1, "regex.extractAll": 1, "regex.replace": 1}


def compiled(pattern: str) -> Any:
    """The pattern, ready for use."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise EvaluationError("this is not a regular expression that RE2 takes") from None


def bad_pattern(pattern: str) -> str:
    """What RE2 has against a pattern; empty if nothing."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return f"this regular expression is not RE2: {text}"
    return ""
