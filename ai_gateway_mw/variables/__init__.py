"""What expressions may read of a Context, phase by phase: one row for each variable."""

from ai_gateway_mw.variables.connection import NO_SOURCES, Sources
from ai_gateway_mw.variables.hints import doubts, instead, is_bare, nginx_variables
from ai_gateway_mw.variables.notes import note_of
from ai_gateway_mw.variables.results import unknown_results
from ai_gateway_mw.variables.row import Row
from ai_gateway_mw.variables.tables import (
    ROWS,
    functions,
    functions_elsewhere,
    reads_answer,
    reads_body,
    variables,
    variables_elsewhere,
)

__all__ = [
    "NO_SOURCES",
    "ROWS",
    "Row",
    "Sources",
    "doubts",
    "functions",
    "functions_elsewhere",
    "instead",
    "is_bare",
    "nginx_variables",
    "note_of",
    "reads_answer",
    "reads_body",
    "unknown_results",
    "variables",
    "variables_elsewhere",
]
