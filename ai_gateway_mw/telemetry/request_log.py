"""One log record for each exchange, and one for each `log` action: JSON lines on loggers that an app can route.

Records name keys by their id and hold no body, no query and no credential.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import BodyNotEdited, PolicyDenied
from ai_gateway_mw.keys import without_gateway_keys

_requests = logging.getLogger("ai_gateway_mw.requests")
_entries = logging.getLogger("ai_gateway_mw.log")


def log_request(ctx: Context, status: int) -> None:
    """The record of a finished exchange: 499 where the client left. Costs nothing where nobody reads it."""
    if ctx.limits.quiet or not _requests.isEnabledFor(logging.INFO):
        return
    attempt = ctx.attempts[-1] if ctx.attempts else None
    record: dict[str, Any] = {
        "request": ctx.id,
        "method": ctx.method,
        "path": ctx.path,
        "status": status,
        "duration_ms": ctx.elapsed_ms,
        "attempts": [attempt.detail for attempt in ctx.attempts],
    }
    if attempt is not None:
        record["provider"] = attempt.candidate.provider.id
        record["model"] = attempt.candidate.model.id if attempt.candidate.model else None
        record["key"] = attempt.candidate.key.id if attempt.candidate.key else None
        if attempt.usage is not None:
            record["usage"] = {"input_tokens": attempt.usage.input_tokens, "output_tokens": attempt.usage.output_tokens}
    if ctx.refusal is not None:
        record["refused"] = ctx.refusal.code
    if isinstance(ctx.refusal, PolicyDenied | BodyNotEdited):
        record["reason"] = ctx.refusal.reason
    _requests.info("%s", line(record))


def log_entry(ctx: Context, metadata: Mapping[str, Any], redact: Callable[[str], str]) -> None:
    """The record of a `log` action, without what came from a secret."""
    if _entries.isEnabledFor(logging.INFO) and not ctx.limits.quiet:
        _entries.info("%s", redact(line({"request": ctx.id, "metadata": metadata})))


def line(record: Mapping[str, Any]) -> str:
    """A record as it is written."""
    # ASCII keeps control characters and line breaks of a client's making out of the log.
    return without_gateway_keys(json.dumps(record, separators=(",", ":"), default=str))
