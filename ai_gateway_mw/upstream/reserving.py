"""Reserving: before a request is sent, takes of its key's limits what it may use at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

from ai_gateway_mw.body import JSONBody
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import UseUncounted
from ai_gateway_mw.form import FormBody
from ai_gateway_mw.providers import Model, kind_of
from ai_gateway_mw.surfaces import Route
from ai_gateway_mw.upstream.tokens import input_estimate
from ai_gateway_mw.usage import Prices, UnknownPrice

_USUAL_OUTPUT: Final = 4_096  # of a model of which nobody knows how much it may answer
_WITHOUT_OUTPUT: Final = ("embedding", "moderation", "rerank")
_COUNTING: Final = ("/count_tokens", ":countTokens")
# Methods of Gemini that run later, whatever is in them; and the posts to resources that generate nothing.
_LATER: Final = (":batchGenerateContent", ":asyncBatchEmbedContent", ":predictLongRunning")
_HARMLESS: Final = ("/cancel", "/input_tokens", "/v1/files")
_CHAT_LIMITS: Final = ("max_completion_tokens", "max_tokens")
_GEMINI_CONFIGS: Final = ("generationConfig", "generation_config")
_GEMINI_LIMITS: Final = ("maxOutputTokens", "max_output_tokens")
_CHOICES: Final = ("n", "best_of", "candidateCount", "candidate_count")
# The members that tell how much may be answered; most requests have none of them.
_TELLING: Final = frozenset([*_CHAT_LIMITS, "max_output_tokens", *_GEMINI_CONFIGS, *_CHOICES, "prompt"])


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
        route = ctx.route
        assert route is not None
        path = route.path
        if route.task != "generate":
            if ctx.method == "POST" and not path.endswith(_HARMLESS):  # generates, or runs later, whatever is in it
                raise UseUncounted(path)
            return
        if route.surface is None:
            if path.endswith(_LATER):
                raise UseUncounted(path)
            if path.endswith(_COUNTING):  # costs nothing
                return
        models = [model for _, model in ctx.offers if model is not None]
        payload = ctx.payload if ctx.body else None
        if route.surface == "responses" and payload is not None and payload.get("background"):  # runs later
            raise UseUncounted("a response in the background")
        read = input_estimate(ctx)
        made = 0 if payload is None else self._output_tokens(route, payload, models)
        cost = self._cost(account.unknown_price, models, read, made) if account.key.limits.has_budget else 0
        account.reserve(read, made, cost)

    def _output_tokens(self, route: Route, payload: JSONBody | FormBody, models: Sequence[Model]) -> int:
        """What the request asks for at most, or what the models can give, for each of its choices."""
        if route.surface is None and kind_of(route.path) in _WITHOUT_OUTPUT:
            return 0
        members = payload.value
        if members.keys().isdisjoint(_TELLING):
            return self._capped([model.max_output_tokens or _USUAL_OUTPUT for model in models])
        configs = [config for name in _GEMINI_CONFIGS if isinstance(config := members.get(name), dict)]
        most = self._capped([_asked(route, members, configs, model) for model in models])
        choices = [_number(holder[name]) for holder in (members, *configs) for name in _CHOICES if name in holder]
        prompts = _prompts(members.get("prompt")) if route.path == "/v1/completions" else 1
        return most * max([number for number in choices if number is not None], default=1) * prompts

    def _capped(self, most: Sequence[int]) -> int:
        """The most that any model may bring, as far as the policy lets it."""
        longest = max(most, default=_USUAL_OUTPUT)
        return longest if self._max_output_tokens is None else min(longest, self._max_output_tokens)

    def _cost(self, unknown: UnknownPrice, models: Sequence[Model], input_tokens: int, output_tokens: int) -> int:
        """What the dearest of the models that may be tried would cost, with all of the prompt written to a cache."""
        dearest = 0
        for model in models:
            price = self._prices.applied(model, unknown)
            if price is None:
                raise UseUncounted(f"model '{model.id}'")
            dearest = max(dearest, price.cost(input_tokens, output_tokens, written_tokens=input_tokens))
        return dearest


def _asked(route: Route, members: Mapping[str, Any], configs: Sequence[Mapping[str, Any]], model: Model) -> int:
    """What one choice of this model may bring, by the members that its provider is sent and reads."""
    if route.format == "gemini":
        values = [config.get(name) for config in configs for name in _GEMINI_LIMITS]
    else:
        values = [members.get(name) for name in _limits_of(route, model)]
    asked = [_number(value) for value in values if value is not None]
    numbers = [number for number in asked if number is not None]
    if len(numbers) == len(asked) > 0:
        return max(numbers)
    return max(model.max_output_tokens or _USUAL_OUTPUT, *numbers, 0)


def _limits_of(route: Route, model: Model) -> Sequence[str]:
    """The members in which this surface is told a limit, but for those that this model is not sent."""
    if route.surface == "responses":
        return ("max_output_tokens",)
    if route.surface != "chat-completions":
        return ("max_tokens",) if route.surface == "messages" or route.path == "/v1/completions" else ()
    surface = model.provider.surface(route.format, route.surface)
    allowed = surface.supported_params if surface is not None else ()
    return [name for name in _CHAT_LIMITS if (not allowed or name in allowed) and name not in model.unsupported_params]


def _number(value: Any) -> int | None:
    """What a lenient server takes it for: `8`, `8.0` and `"8"` alike. None is no limit: some read 0 and -1 as such."""
    try:
        number = value if type(value) is int else ceil(float(value))
    except (ValueError, TypeError, OverflowError):
        return None
    return number if number > 0 and type(value) is not bool else None


def _prompts(prompt: Any) -> int:
    """How many there are in a list of texts or of lists of tokens; each is answered."""
    return max(1, sum(type(each) is not int for each in prompt)) if isinstance(prompt, list) else 1
