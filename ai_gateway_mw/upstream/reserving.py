"""Reserving: before a request is sent, takes of its key's limits what it may use at most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from ai_gateway_mw.body import JSONBody
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import UseUncounted
from ai_gateway_mw.form import FormBody
from ai_gateway_mw.providers import Model, kind_of
from ai_gateway_mw.upstream.tokens import estimated_tokens
from ai_gateway_mw.usage import Prices

_BATCHES: Final = "/batches"
_USUAL_OUTPUT: Final = 4_096  # of a model of which nobody knows how much it may answer
_WITHOUT_OUTPUT: Final = ("embedding", "moderation", "rerank")
_OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_GEMINI_CONFIGS: Final = ("generationConfig", "generation_config")
_GEMINI_LIMITS: Final = ("maxOutputTokens", "max_output_tokens")
_CHOICES: Final = ("n", "best_of", "candidateCount", "candidate_count")


class Reserving:
    """Does nothing for keys without limits of tokens or money. Raises the refusals of `Reservation.reserve`, and
    `UseUncounted` where a budget cannot be held."""

    def __init__(self, prices: Prices, max_output_tokens: int | None) -> None:
        self._prices = prices
        self._max_output_tokens = max_output_tokens

    def __call__(self, ctx: Context) -> None:
        account = ctx.account
        if account is None or not account.key.limits.of_use:
            return
        assert ctx.route is not None
        if ctx.route.task != "generate":
            if ctx.method == "POST" and _BATCHES in ctx.route.path:  # runs later, whatever is in it
                raise UseUncounted(ctx.route.path)
            return
        models = [offer.model for offer in ctx.offers if offer.model is not None]
        input_tokens, output_tokens = self._tokens(ctx, models)
        cost = self._cost(ctx, models, input_tokens, output_tokens) if account.key.limits.has_budget else 0
        account.reserve(input_tokens, output_tokens, cost)

    def _tokens(self, ctx: Context, models: Sequence[Model]) -> tuple[int, int]:
        assert ctx.route is not None
        payload = ctx.payload if ctx.body else None
        input_tokens = ctx.input_tokens or 0
        if ctx.input_tokens is None and isinstance(payload, JSONBody):
            ctx.input_tokens = input_tokens = estimated_tokens(payload.value)
        if payload is None or kind_of(ctx.route.path) in _WITHOUT_OUTPUT:
            return input_tokens, 0
        return input_tokens, self._output_tokens(payload, models)

    def _output_tokens(self, payload: JSONBody | FormBody, models: Sequence[Model]) -> int:
        """What the request asks for at most, or what the models can give, for each of its choices."""
        places = [payload.get(name) for name in _GEMINI_CONFIGS]
        members = [payload.get(name) for name in _OUTPUT_LIMITS]
        choices = [payload.get(name) for name in _CHOICES]
        for config in places:
            if isinstance(config, dict):
                members += [config.get(name) for name in _GEMINI_LIMITS]
                choices += [config.get(name) for name in _CHOICES]
        asked = _largest(members)
        if asked is None:
            asked = max((model.max_output_tokens or _USUAL_OUTPUT for model in models), default=_USUAL_OUTPUT)
        if self._max_output_tokens is not None:
            asked = min(asked, self._max_output_tokens)
        return asked * (_largest(choices) or 1)

    def _cost(self, ctx: Context, models: Sequence[Model], input_tokens: int, output_tokens: int) -> int:
        """What the dearest of the models that may be tried would cost."""
        assert ctx.account is not None
        dearest = 0
        for model in models:
            price = self._prices.applied(model, ctx.account.unknown_price)
            if price is None:
                raise UseUncounted(f"model '{model.id}'")
            dearest = max(dearest, price.cost(input_tokens, output_tokens))
        return dearest


def _largest(values: Iterable[Any]) -> int | None:
    """The largest that is a number of something; some providers read 0 and -1 as "no limit"."""
    return max((value for value in values if type(value) is int and value > 0), default=None)
