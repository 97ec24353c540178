"""The steps of `ai-gateway`, made from its config: model selection, key selection, failover, passthrough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.cel import Environment, Expression, ListType, Template, Variable
from ai_gateway_mw.context import Context
from ai_gateway_mw.headers import upstream_name
from ai_gateway_mw.policy import ExpressionText, TemplateText
from ai_gateway_mw.providers import Provider, ProvidersError, configured, doubts
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.telemetry import Journal
from ai_gateway_mw.upstream.admission import Admission, check_method
from ai_gateway_mw.upstream.config import AIGatewayConfig, Selection
from ai_gateway_mw.upstream.failover import Failover, FailoverRules
from ai_gateway_mw.upstream.functions import AUTHOR, KEY, MODEL, PROVIDER, ai_functions, ai_types
from ai_gateway_mw.upstream.key_ring import KeyRing
from ai_gateway_mw.upstream.key_selection import KeySelection
from ai_gateway_mw.upstream.listing import model_listing
from ai_gateway_mw.upstream.model_selection import Allowed, ModelSelection
from ai_gateway_mw.upstream.passthrough import UpstreamAnswer
from ai_gateway_mw.upstream.records import Records
from ai_gateway_mw.upstream.request import Additions, UpstreamRequests
from ai_gateway_mw.upstream.reserving import Reserving


@dataclass(frozen=True, slots=True)
class Steps:
    """Each writes what the next reads; none looks ahead. Those that choose wait for nothing, and are plain calls."""

    admission: Admission
    model_selection: ModelSelection
    reserving: Reserving
    key_selection: KeySelection
    failover: Failover
    passthrough: Callable[[Context], ASGIApp]
    journal: Journal

    async def answer(self, ctx: Context) -> ASGIApp:
        """All of them, one after the other. Raises the `GatewayError` of the step that could not go on."""
        route = ctx.route
        assert route is not None
        if route.task == "list-models":
            check_method(ctx)
            return model_listing(ctx, route, self.model_selection)
        await self.select(ctx)
        await self.send(ctx)
        return self.passthrough(ctx)

    def send(self, ctx: Context) -> Awaitable[None]:
        """Try the candidates, once it is written down that this is done, where it has to be."""
        ctx.watch_client()
        return self._noted_and_sent(ctx) if self.journal.is_on else self.failover(ctx)

    async def _noted_and_sent(self, ctx: Context) -> None:
        await self.journal.note(ctx)
        await self.failover(ctx)

    async def select(self, ctx: Context) -> None:
        """The steps up to the candidates, which need no upstream."""
        check_method(ctx)
        if ctx.body is None:
            await ctx.read_body()
        self.admission(ctx)
        self.model_selection(ctx)
        if ctx.account is not None:
            self.reserving(ctx)
        self.key_selection(ctx)


def steps(config: AIGatewayConfig, runtime: Runtime) -> Steps:
    """The steps of one action; what is wrong with its config goes to the runtime's problems."""
    providers = _providers(config, runtime)
    environment = _environment(runtime, providers)
    keys = KeySelection(
        {provider.id: _ring(provider, runtime) for provider in providers if provider.api_keys},
        _strategies(config.api_key_selection, "ai.keys", runtime, environment),
    )
    if runtime.stores.accounts.journal.is_on:
        runtime.needs.add("audit")
    allowed = Allowed(config.only_allow_configured_providers, config.only_allow_configured_models)
    settings = runtime.settings
    rules = FailoverRules(
        total_timeout=float(config.total_timeout),
        per_request_timeout=float(config.per_request_timeout),
        connect_timeout=settings.connect_timeout,
        wait_for_capacity=float(config.wait_for_capacity),
        any_error_moves_on=config.failover_on == "any",
    )
    return Steps(
        Admission(runtime.secrets, config.max_input_tokens),
        ModelSelection(providers, allowed, _strategies(config.model_selection, "ai.models", runtime, environment)),
        Reserving(runtime.stores.accounts.prices, config.max_output_tokens),
        keys,
        Failover(
            runtime.stores.transport,
            Records(runtime.stores.breakers, runtime.stores.model_metrics),
            UpstreamRequests(_additions(config, runtime), settings.hosts),
            rules,
        ),
        partial(UpstreamAnswer, runtime.secrets),
        runtime.stores.accounts.journal,
    )


def _providers(config: AIGatewayConfig, runtime: Runtime) -> Sequence[Provider]:
    for doubt in doubts(config.providers, runtime.settings.hosts):
        runtime.problem(doubt.message, field=("providers", *doubt.path), severity="warning")
    try:
        return configured(runtime.stores.catalog, config.providers, metrics=runtime.stores.model_metrics.of)
    except ProvidersError as error:
        for problem in error.problems:
            runtime.problem(problem.message, field=("providers", *problem.path), hint=problem.hint)
        for document in config.providers:
            _values([key.value for key in document.api_keys], runtime)  # what is wrong with them is said as well
        return ()


def _ring(provider: Provider, runtime: Runtime) -> KeyRing:
    values = _values(provider.api_keys, runtime)
    return KeyRing(provider, values, runtime.stores.provider_keys, runtime.secrets)


def _values(keys: Sequence[TemplateText], runtime: Runtime) -> Sequence[Template]:
    values = [runtime.template(text) for text in keys]
    for text, value in zip(keys, values, strict=True):
        if value.constant and "secrets.get" in text:
            message = "this is plain text, and would be sent as the key: write `${secrets.get(…)}`"
            runtime.problem(message, text.place_of())
        elif value.constant:
            message = "this key stands in the policy itself, which is for development only: use `${secrets.get(…)}`"
            runtime.problem(message, text.place_of(), severity="warning")
    return values


def _environment(runtime: Runtime, providers: Sequence[Provider]) -> Environment:
    """What strategies may use: all that the phase knows, and `ai.*`; predicates are lenient about what is missing."""
    authors = list({model.author.id: model.author for p in providers for model in p.models if model.author}.values())
    return runtime.environment.extend(
        variables=(
            Variable("ai.models", ListType(MODEL), attrgetter("models"), "The models that may serve this request."),
            Variable("ai.keys", ListType(KEY), attrgetter("keys"), "The keys of the provider whose turn it is."),
            Variable("ai.providers", ListType(PROVIDER), lambda ctx: providers, "Every provider."),
            Variable("ai.authors", ListType(AUTHOR), lambda ctx: authors, "Every author in the catalogue."),
        ),
        functions=ai_functions(runtime.stores.random),
        types=ai_types(),
        lenient=True,
    )


def _strategies(
    selection: Selection | None, all_of_them: str, runtime: Runtime, environment: Environment
) -> Sequence[tuple[str, Expression]]:
    made = []
    for text in selection.strategy if selection else ():
        expression = _strategy(text, all_of_them, runtime, environment)
        if expression is not None:
            made.append((str(text), expression))
    return made


def _strategy(text: ExpressionText, all_of_them: str, runtime: Runtime, environment: Environment) -> Expression | None:
    if text.strip() == "ordered":  # seen in the wild; it is no CEL, and means the default
        message = f"`ordered` is no expression; it is read as `{all_of_them}`"
        runtime.problem(message, text.place_of(), severity="warning")
        return runtime.expression(all_of_them, environment=environment)
    return runtime.expression(text, environment=environment)


def _additions(config: AIGatewayConfig, runtime: Runtime) -> Additions:
    return Additions(
        fields=runtime.fields(config.headers, upstream_name),
        query=[(name, runtime.template(text)) for name, text in config.query_params.items()],
        body=runtime.templates(config.body),
        max_output_tokens=config.max_output_tokens,
    )
