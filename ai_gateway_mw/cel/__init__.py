"""The Common Expression Language: expressions and templates, checked when they are loaded, quick when they run.

It stands alone: nothing here knows of HTTP or of policies.
"""

from ai_gateway_mw.cel.declarations import Overload, Variable
from ai_gateway_mw.cel.environment import Environment, Expression
from ai_gateway_mw.cel.explaining import Explanation, Observer
from ai_gateway_mw.cel.functions import STANDARD_FUNCTIONS
from ai_gateway_mw.cel.limits import Limits
from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.patterns import bad_pattern
from ai_gateway_mw.cel.patterns import compiled as compiled_pattern
from ai_gateway_mw.cel.problems import EvaluationError, ExpressionError, ExpressionProblem
from ai_gateway_mw.cel.rendering import render_value, to_json
from ai_gateway_mw.cel.template import Template, evaluated, template
from ai_gateway_mw.cel.types import (
    ANY,
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    ListType,
    MapType,
    Nullable,
    ObjectType,
    OptionalType,
    Type,
    TypeParam,
)
from ai_gateway_mw.cel.values import CelType, OptionalValue, UInt

__all__ = [
    "ANY",
    "BOOL",
    "BYTES",
    "DOUBLE",
    "DURATION",
    "DYN",
    "ERROR",
    "INT",
    "NULL",
    "STANDARD_FUNCTIONS",
    "STRING",
    "TIMESTAMP",
    "TYPE",
    "UINT",
    "CelType",
    "Duration",
    "Environment",
    "EvaluationError",
    "Explanation",
    "Expression",
    "ExpressionError",
    "ExpressionProblem",
    "Limits",
    "ListType",
    "MapType",
    "Nullable",
    "ObjectType",
    "Observer",
    "OptionalType",
    "OptionalValue",
    "Overload",
    "Template",
    "Timestamp",
    "Type",
    "TypeParam",
    "UInt",
    "Variable",
    "bad_pattern",
    "compiled_pattern",
    "evaluated",
    "render_value",
    "template",
    "to_json",
]
