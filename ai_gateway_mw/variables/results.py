"""Results of actions: every documented field of `actions.ngrok.<action>`, and of `actions.<action>` for our own.

Before its action has run a field is null, and so is what stands below it; after that, what the run has nothing to say
of has the zero value of its type. So rules may ask for what happened without asking first whether anything did. Only
what a client's key says is an error where there is no key, or none so far: no rule shall take nobody for somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from ai_gateway_mw.cel import BOOL, DYN, INT, STRING, EvaluationError, ListType, MapType, Type
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import closest
from ai_gateway_mw.variables.row import ALL, Row


class Field(NamedTuple):
    """A field of a result: its type, and what it says."""

    type: Type
    doc: str


Fields = Mapping[str, Field]

_MAP = MapType(STRING, DYN)
_LIST = ListType(DYN)
_STRINGS = ListType(STRING)
_ERROR: Final[Fields] = {
    "error.code": Field(STRING, "What went wrong or was refused, as a word for programs; empty if nothing."),
    "error.message": Field(STRING, "The same for people; empty if nothing."),
}
_IDENTITY: Final[Fields] = {
    "identity.id": Field(STRING, "An id for the person, made from provider and account; the same at every login."),
    "identity.email": Field(STRING, "The email address, as the provider has it; empty if it told none."),
    "identity.name": Field(STRING, "The name, as the provider has it; empty if it told none."),
    "identity.provider_user_id": Field(STRING, "The id of the account at the provider."),
}
_TOKENS: Final[Fields] = {
    "access_token": Field(STRING, "The access token that the provider gave; empty without a session."),
    "refresh_token": Field(STRING, "The refresh token; empty if the provider gave none."),
    "expires_at": Field(STRING, "When the access token ends, in RFC 3339; empty if that is not known."),
}
_SESSION: Final[Fields] = {
    "session_timed_out": Field(BOOL, "True if there was a session that was not used for too long."),
    "session_max_duration_reached": Field(BOOL, "True if there was a session that is over, however much it was used."),
}
_REFRESHED: Final = Field(BOOL, "True if the provider was asked anew who this is, for this request.")
_CRS: Final[Fields] = {
    "decision": Field(STRING, "`allow` or `deny`."),
    "anomaly_score": Field(INT, "The sum over the rules that matched."),
    "anomaly_score_threshold": Field(INT, "The score from which on it refuses."),
    "matched_rules": Field(_LIST, "The rules that matched, each with `id`, `message`, `severity` and `data`."),
    **_ERROR,
}
_REPLACED: Final[Fields] = {
    "replacements": Field(
        _LIST,
        "Of each replacement that found something: `replacement_index`, from 0, and `matched_content`, the first text "
        "that it found.",
    ),
    **_ERROR,
}


def _rewritten(url: str) -> Fields:
    matches = Field(_LIST, "What `from` found in the URL, from left to right; empty if nothing.")
    return {"matches": matches, "url": Field(STRING, url), **_ERROR}


# By the action's name in `actions.ngrok`: the documented fields.
RESULTS: Final[Mapping[str, Fields]] = {
    "add_headers": {"headers_added": Field(_MAP, "The fields that were added, with their values as they were sent.")},
    "remove_headers": {"headers_removed": Field(_LIST, "The names of the fields that were there and are gone.")},
    "basic_auth": {
        "credentials.presented": Field(BOOL, "True if the request brings a name and a password."),
        "credentials.username": Field(STRING, "The name that it brings, right or wrong; empty if none."),
        "credentials.authorized": Field(BOOL, "True if the password is that of the name."),
    },
    "circuit_breaker": {
        "decision": Field(
            STRING,
            "`allow`; `block` where the breaker is open; `allow_while_open` for a request that tries whether it works.",
        )
    },
    "compress": {
        "already_compressed": Field(BOOL, "True if the answer came compressed and was left as it is."),
        "negotiated_algorithm": Field(STRING, "The coding that was chosen, such as `gzip`; empty if none."),
    },
    "forward_internal": {
        "url": Field(STRING, "Where it was to go: scheme, host and port. Only of a failure."),
        **_ERROR,
    },
    "http_request": {
        "attempts": Field(
            _LIST,
            "One for each time that it was asked: `response_status_code`, `response_header`, `response_time_ms` and "
            "`resolved_ip`.",
        ),
        "req.method": Field(STRING, "The method of the last request."),
        "req.url": Field(STRING, "Its URL, without secrets."),
        "req.body": Field(STRING, "Its body, without secrets."),
        "req.header": Field(_MAP, "Its fields: lists of values by names in lower case, without credentials."),
        "res.resolved_ip": Field(STRING, "The address that answered last; empty if that is not known."),
        "res.time_ms": Field(STRING, "How long the last answer took, in milliseconds."),
        "res.body": Field(STRING, "The body of the last answer, as text: `json.decode` reads it."),
        "res.header": Field(_MAP, "Its fields: lists of values by names in lower case."),
        "res.status_code": Field(INT, "Its status; 0 if there was no answer."),
        **_ERROR,
    },
    "jwt_validation": {
        "tokens": Field(
            _LIST,
            "The tokens in the order of the policy, as far as they were looked at: `header`, `payload`, `signature`, "
            "`location` (`header` or `body`), `location_property` and `verified`.",
        ),
        **_ERROR,
    },
    "log": {"metadata": Field(_MAP, "What was logged, with its expressions evaluated.")},
    "oauth": {
        **_IDENTITY,
        "identity.current_provider_session_id": Field(STRING, "An id for this login."),
        **_TOKENS,
        **_SESSION,
        "userinfo_refreshed": _REFRESHED,
        **_ERROR,
    },
    "oidc": {
        **_IDENTITY,
        "identity.current_session_id": Field(STRING, "An id for this login."),
        "identity_token": Field(STRING, "The ID token that the provider gave; empty without a session."),
        **_TOKENS,
        **_SESSION,
        "user_info_refreshed": _REFRESHED,
        **_ERROR,
    },
    "owasp_crs_request": _CRS,
    "owasp_crs_response": _CRS,
    "rate_limit": {
        "bucket_key": Field(STRING, "A digest of the bucket that the request was counted in."),
        "limited": Field(BOOL, "True if the bucket has had its fill."),
        **_ERROR,
    },
    "redirect": _rewritten("Where the client was sent; empty if it was not."),
    "url_rewrite": _rewritten("The URL after the rewrite; empty if it did not change."),
    "restrict_ips": {
        "action": Field(STRING, "`allow` or `deny`."),
        "matched_cidr": Field(STRING, "The range that decided; empty if the address is in none."),
        "matched_label": Field(STRING, "The label of that range; empty if it has none."),
        **_ERROR,
    },
    **dict.fromkeys(("request_body_find_replace", "response_body_find_replace", "sse_find_replace"), _REPLACED),
    "verify_webhook": {"verified": Field(BOOL, "True if the request is what the service signed."), **_ERROR},
    "terminate_tls": {"warnings": Field(_LIST, "What was odd about the handshake."), **_ERROR},
    "ai_gateway": {
        "status": Field(STRING, "`success`, or `error`: also that of a provider which the client gets as it is."),
        "client": Field(
            _MAP,
            "What was asked: `method`, `path`, `user_agent`, `request_headers` without credentials, `model`, `models`, "
            "`api_key_hash` of the client's own key, and `rejected_models`, each with its `reason`.",
        ),
        "input_ngrok_tokens": Field(INT, "How long the prompt is, in tokens, as it was estimated."),
        "output_ngrok_tokens": Field(INT, "Always 0: what was answered is counted by the provider."),
        "gateway_latency_ms": Field(INT, "Milliseconds spent here and not at a provider."),
        "model_selection": Field(
            _LIST, "One for each strategy that was asked: `strategy`, `error`, and the models that it returned."
        ),
        "models_tried": Field(
            _LIST, "The models in the order of their turns, with their strategies for keys and `requests_made`."
        ),
        "success.model_index": Field(INT, "The place in `models_tried` of the model that answered."),
        "success.request_index": Field(INT, "The place in its `requests_made` of the request that was answered."),
        "success.model": Field(STRING, "The model that answered; empty if none."),
        "success.provider": Field(STRING, "The provider of that model; empty if none."),
        "success.author": Field(STRING, "Who made it; empty if that is not known."),
        **_ERROR,
    },
}

# By the name in `actions`: those of our own actions.
OUR_RESULTS: Final[Mapping[str, Fields]] = {
    "gateway_auth": {
        "authenticated": Field(
            BOOL,
            "True if the request came with a gateway key that is good for it; else reading `key.*` is an error.",
        ),
        "key.id": Field(STRING, "The key's id: `key_…`, or `policy:` and its name where the policy declares it."),
        "key.name": Field(STRING, "What the key is called."),
        "key.environment": Field(STRING, "Its environment, such as `production`; empty if it has none."),
        "key.scopes": Field(_STRINGS, "What it may be used for: `read`, `chat`, `full`."),
        "key.metadata": Field(MapType(STRING, STRING), "The notes on it."),
        "key.expires": Field(DYN, "When it stops working, in RFC 3339; null if never."),
        **_ERROR,
    },
    "redact": {
        "found": Field(BOOL, "True if a preset has found something."),
        "presets": Field(_LIST, "The names of those that have, sorted; empty of streams."),
        "texts": Field(_MAP, "In how many texts each of them has; empty of streams."),
    },
}
_OF_A_KEY: Final = "key."  # fields that are errors where there is none

_ZEROS: Final[Mapping[Type, Callable[[], Any]]] = {STRING: str, INT: int, BOOL: bool, _MAP: dict, _LIST: list}


def _nothing() -> None:
    return None


def _read(
    result: Callable[[Context], Any],
    path: tuple[str, ...],
    otherwise: Callable[[], Any],
    before: Callable[[], Any] = _nothing,
) -> Callable[[Context], Any]:
    def read(ctx: Context) -> Any:
        value = result(ctx)
        if value is None:
            return before()
        for step in path:
            if not isinstance(value, Mapping) or step not in value:
                return otherwise()
            value = value[step]
        return value

    return read


def _no_key() -> None:
    raise EvaluationError("the request came without a gateway key")


def _of_traffic_policy(action: str) -> Callable[[Context], Any]:
    return lambda ctx: ctx.result(action)


def _of_ours(action: str) -> Callable[[Context], Any]:
    return lambda ctx: ctx.our_result(action)


def _rows() -> Iterator[Row]:
    for action, fields in RESULTS.items():
        yield from _of_action("actions.ngrok", action, fields, _of_traffic_policy(action))
    for action, fields in OUR_RESULTS.items():
        yield from _of_action("actions", action, fields, _of_ours(action))


def _of_action(prefix: str, action: str, fields: Fields, result: Callable[[Context], Any]) -> Iterator[Row]:
    """A row for the action, each field and whatever stands between; of none the type is known before it has run."""
    name = f"{prefix}.{action}"
    yield Row(name, DYN, _read(result, (), _nothing), ALL, f"What the last `{type_of(action)}` did, or null.")
    between = dict.fromkeys(field.rpartition(".")[0] for field in fields if "." in field)
    for field in between:
        doc = f"All of `{field}`, or null if there is none."
        yield Row(f"{name}.{field}", DYN, _read(result, tuple(field.split(".")), _nothing), ALL, doc)
    for field, (type_, doc) in fields.items():
        otherwise, before = (_no_key, _no_key) if field.startswith(_OF_A_KEY) else (_ZEROS[type_], _nothing)
        yield Row(f"{name}.{field}", DYN, _read(result, tuple(field.split(".")), otherwise, before), ALL, doc)


def type_of(action: str) -> str:
    """The action's type, as policies write it."""
    return {"compress": "compress-response", "oidc": "openid-connect"}.get(action, action.replace("_", "-"))


RESULT_ROWS = tuple(_rows())
_FIELDS: Final = tuple(
    [f"actions.ngrok.{action}.{field}" for action, fields in RESULTS.items() for field in fields]
    + [f"actions.{action}.{field}" for action, fields in OUR_RESULTS.items() for field in fields]
    + ["actions.ngrok.terminate_tls"]  # has all that `conn.tls` has
)


def _end(path: str) -> str:
    """What tells it from others: they all begin alike."""
    return path.removeprefix("actions.").removeprefix("ngrok.")


_BY_END: Final = {_end(field): field for field in _FIELDS}


def unknown_results(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Those of the paths that lead to no result of any action, with the field that is probably meant, or nothing."""
    told = ""
    for path in sorted(path for path in paths if path.startswith("actions.")):
        if path.startswith(f"{told}."):  # what is in one that there is not
            continue
        if not any(f"{field}.".startswith(f"{path}.") or path.startswith(f"{field}.") for field in _FIELDS):
            told = path
            yield path, _BY_END.get(closest(_end(path), _BY_END), "")
