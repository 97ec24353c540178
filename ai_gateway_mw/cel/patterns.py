"""Regular expressions: RE2 only, so that no pattern takes more than linear time; and how long a match may take.

RE2 runs a pattern as an automaton whose states it makes as it meets them, at about 3 ns a character. Where a pattern
has too many states for its memory, it follows all places in the pattern at once instead, at about 5 ns for each.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from ai_gateway_mw.cel.problems import EvaluationError

# Which argument of a function is a pattern, counting the receiver as 0: literal ones are checked at load.
PATTERN_ARGUMENT = {"matches": 1, "regex.extract": 1, "regex.extractAll": 1, "regex.replace": 1}
MOST_MATCHES = 1000  # that a function looks at one by one
_ONE_MATCH = 5000  # nanoseconds

_MEMORY = 1024 * 1024  # bytes; RE2 refuses patterns that would need more
_FEW_STATES = 10  # as a power of two
_LONGEST = 4096
_MOST_CLASSES = 32  # of Unicode, such as `\pL`: RE2 takes up to a millisecond to read one
_PLACE = re.compile(
    r"(?P<wide>\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\\[dDsSwWpPXC](?:\{[^}]*\})?|\.)"
    r"|(?P<flags>\(\?[a-zA-Z-]*\))|(?P<open>\((?:\?(?:P?<\w+>|[a-zA-Z-]*:))?)|(?P<close>\))|(?P<bar>\|)"
    r"|(?P<plain>\\.|.)",
    re.DOTALL,
)
_QUANTIFIER = re.compile(r"[*+?]|\{(\d+)(,?)(\d*)\}")
_ENDLESS = 1000


def compiled(pattern: str | bytes) -> Any:
    """The pattern, ready for use."""
    wrong = bad_pattern(pattern)
    if wrong:
        raise EvaluationError("this is not a regular expression that RE2 takes")
    return _program(pattern)


def finder(pattern: str) -> Callable[[str], bool]:
    """Tells whether the pattern occurs anywhere in a text."""
    # What `search` wraps, and on bytes: without match objects and places in code points it takes a third of the time.
    # Where groups are is not asked, and finding that out takes a time that grows with the square of their number.
    whole = compiled(pattern.encode())
    program = (_program(pattern.encode(), capturing=False) if whole.groups else whole)._regexp
    match, anywhere = program.Match, program.Anchor.UNANCHORED

    def find(text: str) -> bool:
        data = text.encode()
        return bool(match(anywhere, data, 0, len(data))[0][0] >= 0)

    return find


def quoted(text: str) -> str:
    """A pattern that matches just this text."""
    import re2  # noqa: PLC0415 - only who uses patterns pays for loading it

    return str(re2.escape(text))


def bad_pattern(pattern: str | bytes) -> str:
    """What is wrong with a pattern; empty if nothing."""
    text = pattern if isinstance(pattern, str) else pattern.decode("utf-8", "replace")
    if len(text) > _LONGEST:
        return f"a regular expression may have {_LONGEST:,} characters"
    if _unicode_classes(text) > _MOST_CLASSES:
        return f"a regular expression may have {_MOST_CLASSES} classes of Unicode such as \\pL"
    found = _program(pattern.encode("utf-8", "replace") if isinstance(pattern, str) else pattern)
    return found if isinstance(found, str) else ""


def _unicode_classes(pattern: str) -> int:
    return pattern.count(r"\p") + pattern.count(r"\P")


def most_matches(pattern: str) -> int:
    """How many a function looks at one by one: fewer where each takes longer."""
    return max(1, min(MOST_MATCHES, MOST_MATCHES * _ONE_MATCH // time_per_match(pattern)))


def time_per_match(pattern: str) -> int:
    """Nanoseconds that one of many matches takes, with the places of its groups."""
    return _ONE_MATCH if bad_pattern(pattern) else max(_ONE_MATCH, 20 * _program(pattern).groups * size_of(pattern))


def size_of(pattern: str) -> int:
    """How many places a pattern has once it is compiled; 0 for one that is wrong."""
    return 0 if bad_pattern(pattern) else int(_program(pattern.encode()).programsize)


def cost_of_match(pattern: str, text: str) -> int:
    """Nanoseconds that a search may take, with those for compiling the pattern."""
    if bad_pattern(pattern):
        # What RE2 takes at most to find that a pattern is too large.
        classes = _unicode_classes(pattern)
        return 5_000_000 + (500_000 * classes if classes <= _MOST_CLASSES else 0)
    octets = len(text) if text.isascii() else 3 * len(text)
    return 40_000 + 400 * size_of(pattern) + octets * time_per_character(pattern)


@functools.lru_cache(256)
def time_per_character(pattern: str) -> int:
    """Nanoseconds."""
    size = size_of(pattern)
    return 4 if _branching(pattern) <= _FEW_STATES and size < 4096 else max(4, 5 * size)


@functools.lru_cache(256)
def _program(pattern: str | bytes, *, capturing: bool = True) -> Any:
    """The compiled pattern, or in words why there is none."""
    import re2  # noqa: PLC0415 - only who uses patterns pays for loading it

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    options.never_capture = not capturing
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return f"this regular expression is not RE2: {shown}"


def _branching(pattern: str) -> int:
    """About how many places in the pattern can be reached at once: so many that the states number two to that power.

    Each may be: a place that takes several characters, where a match may begin anywhere; a repetition whose end is
    open; a choice. A literal text is none, and nor is a class, repeated so many times, after `^`.
    """
    free = anchored = at = 0
    bars = [0]
    while (place := _PLACE.match(pattern, at)) is not None:
        repeated = _QUANTIFIER.match(pattern, place.end())
        at = repeated.end() if repeated else place.end()
        kind = str(place.lastgroup)
        if kind == "open":
            bars.append(0)
        elif kind == "bar":
            bars[-1] += 1
        elif kind == "close":
            choices = bars.pop().bit_length()
            free, anchored = free + choices, anchored + choices
        free += _choices(kind, repeated, anchored=False)
        anchored += _choices(kind, repeated, anchored=True)
    return anchored if pattern.startswith("^") and bars == [0] else free


def _choices(kind: str, repeated: re.Match[str] | None, *, anchored: bool) -> int:
    anywhere = kind == "wide" and not anchored
    if repeated is None or repeated[1] is None:
        return 1 if repeated or anywhere else 0
    least, most = int(repeated[1]), int(repeated[3] or repeated[1])
    if kind == "close":
        return _ENDLESS
    if anywhere:
        return max(least, most) + 1
    return most - least + (1 if repeated[2] and not repeated[3] else 0)
