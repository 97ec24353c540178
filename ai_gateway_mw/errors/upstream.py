"""Upstream is at fault."""

from __future__ import annotations

from ai_gateway_mw.errors.base import GatewayError


class UpstreamError(GatewayError):
    status, code, kind = 502, "upstream_error", "upstream_error"


class UpstreamUnreachable(UpstreamError):
    code, ngrok_code = "upstream_unreachable", 3800


class ConnectTimeout(UpstreamUnreachable):
    """No connection in time: nothing was sent, and this host's other keys would meet the same."""

    status, code, kind, anthropic_kind = 504, "upstream_timeout", "timeout_error", "timeout_error"


class UpstreamTLSFailed(UpstreamError):
    code = "upstream_tls_error"


class UpstreamInterrupted(UpstreamError):
    """The connection ended before the answer did."""

    code = "upstream_interrupted"


class StreamInterrupted(UpstreamInterrupted):
    """An event stream that ended before its end, when part of it had gone to the client."""

    code = "upstream_stream_interrupted"


class UpstreamAnswerInvalid(UpstreamError):
    """An answer that cannot be read where it has to be."""

    code = "upstream_invalid_response"


class UpstreamRedirected(UpstreamError):
    """A status that no answer to an API call has, most often a redirect, which is not followed."""

    code = "upstream_redirect"


class UpstreamTimeout(UpstreamError):
    status, code, kind, anthropic_kind = 504, "upstream_timeout", "timeout_error", "timeout_error"


class UpstreamAuthFailed(UpstreamError):
    code = "upstream_auth_failed"


class UpstreamQuotaExhausted(UpstreamError):
    status, code = 503, "upstream_quota"


class UpstreamRateLimited(UpstreamError):
    status, code, kind, anthropic_kind = 429, "rate_limit_exceeded", "rate_limit_error", "rate_limit_error"
    retryable = True


class UpstreamsExhausted(UpstreamError):
    """Every candidate failed, in different ways."""

    status, code, ngrok_code = 503, "all_providers_failed", 3807


class TotalTimeout(UpstreamTimeout):
    code, ngrok_code = "gateway_timeout", 3810
