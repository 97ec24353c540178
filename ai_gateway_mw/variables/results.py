"""Results of Traffic Policy's actions: every documented field of `actions.ngrok.<action>`.

Before its action has run a field is null, and so is what stands below it; after that, what the run has nothing to say
of has the zero value of its type. So rules may ask for what happened without asking first whether anything did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ai_gateway_mw.cel import BOOL, DYN, INT, STRING, ListType, MapType, Type
from ai_gateway_mw.context import Context
from ai_gateway_mw.variables.row import ALL, Row

_MAP = MapType(STRING, DYN)
_LIST = ListType(DYN)
_ERROR: Final = {"error.code": STRING, "error.message": STRING}
_FLAGS: Final = ("session_timed_out", "session_max_duration_reached")
_IDENTITY: Final = ("id", "email", "name", "provider_user_id")
_CRS: Final = {
    "decision": STRING,
    "anomaly_score": INT,
    "anomaly_score_threshold": INT,
    "matched_rules": _LIST,
    **_ERROR,
}
_REWRITTEN: Final = {"matches": _LIST, "url": STRING, **_ERROR}
_REPLACED: Final = {"replacements": _LIST, **_ERROR}

# By the action's name in `actions.ngrok`: the documented fields and their types.
RESULTS: Final[Mapping[str, Mapping[str, Type]]] = {
    "add_headers": {"headers_added": _MAP},
    "remove_headers": {"headers_removed": _LIST},
    "basic_auth": {"credentials.presented": BOOL, "credentials.username": STRING, "credentials.authorized": BOOL},
    "circuit_breaker": {"decision": STRING},
    "compress": {"already_compressed": BOOL, "negotiated_algorithm": STRING},
    "forward_internal": {"url": STRING, **_ERROR},
    "http_request": {
        "attempts": _LIST,
        **{f"req.{name}": STRING for name in ("method", "url", "body")},
        "req.header": _MAP,
        **{f"res.{name}": STRING for name in ("resolved_ip", "time_ms", "body")},
        "res.header": _MAP,
        "res.status_code": INT,
        **_ERROR,
    },
    "jwt_validation": {"tokens": _LIST, **_ERROR},
    "log": {"metadata": _MAP},
    "oauth": {
        **{f"identity.{name}": STRING for name in (*_IDENTITY, "current_provider_session_id")},
        **dict.fromkeys(("access_token", "refresh_token", "expires_at"), STRING),
        **dict.fromkeys((*_FLAGS, "userinfo_refreshed"), BOOL),
        **_ERROR,
    },
    "oidc": {
        **{f"identity.{name}": STRING for name in (*_IDENTITY, "current_session_id")},
        **dict.fromkeys(("identity_token", "access_token", "refresh_token", "expires_at"), STRING),
        **dict.fromkeys((*_FLAGS, "user_info_refreshed"), BOOL),
        **_ERROR,
    },
    "owasp_crs_request": _CRS,
    "owasp_crs_response": _CRS,
    "rate_limit": {"bucket_key": STRING, "limited": BOOL, **_ERROR},
    "redirect": _REWRITTEN,
    "url_rewrite": _REWRITTEN,
    "restrict_ips": {"action": STRING, "matched_cidr": STRING, "matched_label": STRING, **_ERROR},
    **dict.fromkeys(("request_body_find_replace", "response_body_find_replace", "sse_find_replace"), _REPLACED),
    "verify_webhook": {"verified": BOOL, **_ERROR},
    "terminate_tls": {"warnings": _LIST, **_ERROR},
    "ai_gateway": {
        "status": STRING,
        "client": _MAP,
        "input_ngrok_tokens": INT,
        "output_ngrok_tokens": INT,
        "gateway_latency_ms": INT,
        "model_selection": _LIST,
        "models_tried": _LIST,
        "success.model_index": INT,
        "success.request_index": INT,
        **{f"success.{name}": STRING for name in ("model", "provider", "author")},
        **_ERROR,
    },
}

_ZEROS: Final[Mapping[Type, Callable[[], Any]]] = {STRING: str, INT: int, BOOL: bool, _MAP: dict, _LIST: list}


def _read(action: str, path: tuple[str, ...], otherwise: Callable[[], Any]) -> Callable[[Context], Any]:
    def read(ctx: Context) -> Any:
        value = ctx.result(action)
        if value is None:
            return None
        for step in path:
            if not isinstance(value, Mapping) or step not in value:
                return otherwise()
            value = value[step]
        return value

    return read


def _nothing() -> None:
    return None


def _rows() -> Iterator[Row]:
    """A row for each action, each field and whatever stands between; of none the type is known before it has run."""
    for action, fields in RESULTS.items():
        name = f"actions.ngrok.{action}"
        yield Row(name, DYN, _read(action, (), _nothing), ALL, f"What the last `{type_of(action)}` did, or null.")
        between = dict.fromkeys(field.rpartition(".")[0] for field in fields if "." in field)
        for field in between:
            yield Row(f"{name}.{field}", DYN, _read(action, tuple(field.split(".")), _nothing), ALL, "null if none.")
        for field, type_ in fields.items():
            read = _read(action, tuple(field.split(".")), _ZEROS[type_])
            yield Row(f"{name}.{field}", DYN, read, ALL, f"`{type_}`.")


def type_of(action: str) -> str:
    """The action's type, as policies write it."""
    return {"compress": "compress-response", "oidc": "openid-connect"}.get(action, action.replace("_", "-"))


RESULT_ROWS = tuple(_rows())
