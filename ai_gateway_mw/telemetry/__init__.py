"""What is told to others about an exchange: log records, and notes for the audit log."""

from ai_gateway_mw.telemetry.journal import Journal, Note
from ai_gateway_mw.telemetry.request_log import log_entry, log_request

__all__ = ["Journal", "Note", "log_entry", "log_request"]
