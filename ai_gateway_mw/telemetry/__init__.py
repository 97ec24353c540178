"""What is told to others about an exchange; so far, its log records."""

from ai_gateway_mw.telemetry.request_log import log_entry, log_request

__all__ = ["log_entry", "log_request"]
