"""How many steps a call counts for: most functions look at every character or element that they get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ai_gateway_mw.cel.patterns import PATTERN_ARGUMENT, cost_of_match, most_matches, time_per_match

STEP = 400  # nanoseconds that a step stands for
_MOST_COUNTED, _ENDLESS = 30_000, 2**40  # elements; whoever has more is over every budget


class Rate(NamedTuple):
    """Nanoseconds, as measured: for an ASCII character, for any other, and for an element; deep: also those inside."""

    ascii: int
    other: int
    element: int
    deep: bool = False


_USUAL = Rate(4, 6, 100)
_COMPARED = 450
_CONSTANT = (
    "size", "type", "dyn", "optional.of", "optional.ofNonZeroValue", "optional.none", "first", "last", "startsWith",
    "endsWith", "charAt", "hasValue", "value",
)  # fmt: skip
_JSON = ("json.decode", "decodeJson", "isJson", "json.encode", "encodeJson")
_QUERY = ("queryString.encode", "encodeQueryString", "queryString.decode", "decodeQueryString", "isQueryString")
_URL = ("url.parse", "parseUrl", "isURL", "url.escape", "escapeUrl", "url.unescape", "unescapeUrl")
_RATES: dict[str, Rate] = {
    **dict.fromkeys(("_==_", "_!=_"), Rate(0, 0, _COMPARED, deep=True)),
    **dict.fromkeys(("lower", "upper"), Rate(1, 5, 0)),
    **dict.fromkeys(("lowerAscii", "upperAscii"), Rate(1, 70, 0)),
    **dict.fromkeys(("trim", "split", "replace"), Rate(12, 12, 0)),
    "_+_": Rate(1, 1, 20),
    "substring": Rate(1, 4, 0),
    "strings.quote": Rate(40, 70, 0),
    **dict.fromkeys(("json.decode", "decodeJson", "isJson"), Rate(35, 35, 0)),
    **dict.fromkeys(("json.encode", "encodeJson"), Rate(4, 4, 500, deep=True)),
    **dict.fromkeys(("queryString.encode", "encodeQueryString"), Rate(4, 90, 2000, deep=True)),
    **dict.fromkeys(("queryString.decode", "decodeQueryString", "isQueryString"), Rate(350, 350, 0)),
    **dict.fromkeys(("url.escape", "escapeUrl"), Rate(30, 170, 0)),
    **dict.fromkeys(("url.unescape", "unescapeUrl"), Rate(65, 540, 0)),
    **dict.fromkeys(("url.parse", "parseUrl", "isURL"), Rate(40, 40, 0)),
    **dict.fromkeys(("hash.crc64", "crc64", "hash.xxhash64", "xxhash64"), Rate(120, 480, 0)),
    "format": Rate(10, 70, 2000, deep=True),
    **dict.fromkeys(("sort", "sum", "math.greatest", "math.least"), Rate(0, 0, 600)),
    "flatten": Rate(0, 0, 1000, deep=True),
    "inCidrRanges": Rate(4, 4, 6500),
}
_FREE = frozenset(_CONSTANT)
_PARTS = (
    "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes",
    "getSeconds", "getMilliseconds",
)  # fmt: skip
# Steps that a call takes however small its arguments are, where that is much.
_BASE: dict[str, int] = {
    **dict.fromkeys(_PARTS, 8),
    **dict.fromkeys(("string", "timestamp", "duration", "format", "sort"), 6),
    **dict.fromkeys(("ip", "isIP", "ip.isCanonical", "isPrivateIp", "containsIP"), 10),
    **dict.fromkeys(("cidr", "isCIDR", "containsCIDR", "masked", "regex.extractAll"), 16),
    **dict.fromkeys(("inCidrRange", "inCidrRanges", "regex.replace"), 20),
    **dict.fromkeys((*_JSON, *_QUERY, *_URL, "regex.extract", "isGlobalUnicast"), 8),
    **dict.fromkeys(("int", "uint", "double", "matches", "hmac.sha256"), 4),
}


def cost(function: str, args: Sequence[Any]) -> int:
    """The steps that a call with these arguments counts for, on top of what every call counts for."""
    if function in _FREE:
        return 0
    base = _BASE.get(function, 0)
    special = _SPECIAL.get(function)
    if special is not None:
        return base + special(args)
    rate, total = _RATES.get(function, _USUAL), 0
    for arg in args:
        if isinstance(arg, _SIZED):
            total += _time(rate, arg)
            if total > _ENDLESS:
                break
    return base + total // STEP


def base_cost(function: str) -> int:
    """The steps of a call with the smallest arguments."""
    return _BASE.get(function, 0)


def grows_with_numbers(function: str) -> bool:
    """True for functions whose work depends on an int, not on what they look at."""
    return function == "lists.range"


def longest_free(function: str, share: int, *, texts: bool = False) -> int:
    """How long the arguments may be within a share of steps, whatever is in them; `texts`: if all are strings."""
    if function in _FREE:
        return 2**62
    if function in _SPECIAL:
        return 0
    rate = _RATES.get(function, _USUAL)
    each = max(rate.ascii, rate.other, 0 if texts else rate.element, 1)
    return 0 if rate.deep else share * STEP // each


_SIZED = (str, bytes, list, tuple, Mapping)


def _time(rate: Rate, value: Any) -> int:
    if isinstance(value, str):
        return len(value) * (rate.ascii if value.isascii() else rate.other)
    if isinstance(value, bytes):
        return len(value) * rate.ascii
    return rate.element * (extent(value) if rate.deep else len(value))


def extent(value: Any) -> int:
    """How many elements a value has at all depths: a map's count twice, 32 characters once, what holds others two."""
    count, pending = 0, [value]
    while pending:
        each = pending.pop()
        if isinstance(each, (str, bytes)):
            count += len(each) >> 5
        elif isinstance(each, (list, tuple, Mapping)):
            inside: Iterable[Any] = each.values() if isinstance(each, Mapping) else each
            count += 2 + len(each) * (2 if isinstance(each, Mapping) else 1)
            if count > _MOST_COUNTED:
                return _ENDLESS
            pending += [inner for inner in inside if type(inner) not in _SINGLE]
    return count


def is_endless(value: Any) -> bool:
    """True for lists and maps with so much in them that walking it all takes too long."""
    return isinstance(value, (list, tuple, Mapping)) and extent(value) == _ENDLESS


_SINGLE = frozenset({type(None), bool, int, float})


def _in(args: Sequence[Any]) -> int:
    """A key of a map is found at once."""
    return 0 if isinstance(args[1], Mapping) else extent(args[1]) * _COMPARED // STEP


def _pairs(args: Sequence[Any]) -> int:
    """Every element of one list may be compared with every one of the other."""
    one = extent(args[0])
    return one if one >= _ENDLESS else one * extent(args[1]) * 300 // STEP


def _search(function: str) -> Callable[[Sequence[Any]], int]:
    place = PATTERN_ARGUMENT[function]
    every = function in ("regex.extractAll", "regex.replace")

    def search(args: Sequence[Any]) -> int:
        text, pattern = args[0], args[place] if len(args) > place else ""
        if not isinstance(text, str) or not isinstance(pattern, str):
            return 0
        matches = min(len(text) + 1, most_matches(pattern)) * time_per_match(pattern) if every else 0
        return (cost_of_match(pattern, text) + matches) // STEP

    return search


def _count(args: Sequence[Any]) -> int:
    count = args[0]
    return max(0, count) // 8 if isinstance(count, int) else 0


def _distinct(args: Sequence[Any]) -> int:
    """What Python cannot hash is compared with all others of its kind."""
    values = args[0] if isinstance(args[0], (list, tuple)) else ()
    if len(values) > _MOST_COUNTED:
        return _ENDLESS
    rest = [value for value in values if isinstance(value, (list, tuple, Mapping))]
    return (len(values) * 600 + len(rest) * extent(rest) * 300) // STEP


def _zoned(args: Sequence[Any]) -> int:
    """The name of a time zone may have to be looked for on the disk."""
    return 100 if len(args) > 1 and isinstance(args[1], str) and args[1][-3:-2] != ":" else 0


_SPECIAL: dict[str, Callable[[Sequence[Any]], int]] = {
    **dict.fromkeys(("sets.contains", "sets.intersects", "sets.equivalent"), _pairs),
    **{function: _search(function) for function in PATTERN_ARGUMENT},
    **dict.fromkeys(_PARTS, _zoned),
    "_in_": _in,
    "distinct": _distinct,
    "lists.range": _count,
}
