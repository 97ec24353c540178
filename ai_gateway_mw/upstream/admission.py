"""Admission: the first step. Knows the client's own key, and refuses what is no request for a model."""

from __future__ import annotations

from ai_gateway_mw.body import JSONBody
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import InputTooLarge, MethodNotAllowed
from ai_gateway_mw.keys import ClientCredential
from ai_gateway_mw.secrets import SecretStore
from ai_gateway_mw.upstream.tokens import estimated_tokens

_METHODS = {"generate": ("POST",), "list-models": ("GET", "HEAD"), "resource": ("GET", "POST", "DELETE")}


def check_method(ctx: Context) -> None:
    """Raises `MethodNotAllowed` for what the path does not take."""
    route = ctx.route
    assert route is not None
    if ctx.method not in _METHODS[route.task]:
        listed = ", ".join(_METHODS[route.task])
        raise MethodNotAllowed(f"{route.path} takes {listed}.", fields=[("allow", listed)])


class Admission:
    """Writes `ctx.own_key` and, where a limit asks for it, `ctx.input_tokens`."""

    def __init__(self, secrets: SecretStore, max_input_tokens: int | None) -> None:
        self._secrets = secrets
        self._max_input_tokens = max_input_tokens

    def __call__(self, ctx: Context) -> None:
        ctx.check_credentials()  # again, since the policy may have added one
        ctx.own_key = self._clients_own_key  # which few requests need: to find it out takes a look at all secrets
        if self._max_input_tokens is not None and ctx.route is not None and ctx.route.task == "generate":
            self._measure(ctx, self._max_input_tokens)

    def _measure(self, ctx: Context, most: int) -> None:
        if isinstance(ctx.payload, JSONBody):
            ctx.input_tokens = estimated_tokens(ctx.payload.value)
            if ctx.input_tokens > most:
                raise InputTooLarge(f"Input too large: {ctx.input_tokens} tokens (max {most}).")

    def _clients_own_key(self, ctx: Context) -> ClientCredential | None:
        """The key to pass on to a provider without keys; never one that opens this gateway, or one of ngrok's."""
        credential = ctx.presented_credential()
        if credential is None or credential.is_gateway_key:
            return None
        text = credential.secret.reveal()
        is_ngroks = text.startswith("ng-") and "-g1-" in text
        return None if is_ngroks or self._secrets.contains_secret(text) else credential
