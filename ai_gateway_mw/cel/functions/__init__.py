"""The functions that every environment has unless told otherwise, as tables of overloads: one file a family."""

from __future__ import annotations

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.functions.conversions import CONVERSIONS
from ai_gateway_mw.cel.functions.encoding import ENCODING
from ai_gateway_mw.cel.functions.hashes import HASHES
from ai_gateway_mw.cel.functions.identity import IDENTITY
from ai_gateway_mw.cel.functions.lists import LISTS
from ai_gateway_mw.cel.functions.math import MATH
from ai_gateway_mw.cel.functions.net import NET
from ai_gateway_mw.cel.functions.operators import OPERATORS
from ai_gateway_mw.cel.functions.optionals import OPTIONALS
from ai_gateway_mw.cel.functions.regex import REGEX
from ai_gateway_mw.cel.functions.strings import STRINGS
from ai_gateway_mw.cel.functions.time import TIME

STANDARD_FUNCTIONS: tuple[Overload, ...] = (
    *OPERATORS, *CONVERSIONS, *MATH, *STRINGS, *LISTS, *TIME, *ENCODING, *HASHES, *NET, *REGEX, *OPTIONALS,
    *IDENTITY,
)  # fmt: skip
