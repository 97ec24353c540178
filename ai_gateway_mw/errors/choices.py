"""What the policy lets the caller choose: models, providers, keys."""

from __future__ import annotations

from ai_gateway_mw.errors.base import GatewayError, PermissionDenied


class ModelNotFound(GatewayError):
    status, code, kind, anthropic_kind = 404, "model_not_found", "invalid_request_error", "not_found_error"
    ngrok_code = 3804


class ModelNotAllowed(PermissionDenied):
    code, kind, ngrok_code = "model_not_allowed", "model_not_allowed", 3804


class ProviderNotAllowed(PermissionDenied):
    code, kind, ngrok_code = "provider_not_allowed", "provider_not_allowed", 3804


class SelectionFailed(GatewayError):
    """A model strategy failed, and none of the others selected anything."""

    status, code, kind, ngrok_code = 422, "model_selection_failed", "invalid_request_error", 3803
    anthropic_kind = "invalid_request_error"


class NothingSelected(SelectionFailed):
    code, ngrok_code = "no_model_selected", 3805


class SelectionOfWrongType(SelectionFailed):
    ngrok_code = 3806


class FormatNotServed(GatewayError):
    """No provider that may be used serves the API format of this path."""

    status, code, kind, ngrok_code = 422, "format_not_served", "invalid_request_error", 3813
    anthropic_kind = "invalid_request_error"


class NoProviderKey(GatewayError):
    """The provider needs a key; neither the policy nor the caller has one."""

    status, code, kind, anthropic_kind = 401, "no_provider_key", "authentication_error", "authentication_error"
    ngrok_code = 3802


class KeySelectionFailed(GatewayError):
    status, code, kind, ngrok_code = 503, "no_eligible_key", "upstream_error", 3808
