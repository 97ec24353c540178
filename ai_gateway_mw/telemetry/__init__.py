"""What is told to others about an exchange: log records, counts, and notes for the audit log."""

from ai_gateway_mw.telemetry.journal import Journal, Note
from ai_gateway_mw.telemetry.request_log import log_entry, log_request
from ai_gateway_mw.telemetry.shadow import Series, Shadow, Sparing

__all__ = ["Journal", "Note", "Series", "Shadow", "Sparing", "log_entry", "log_request"]
