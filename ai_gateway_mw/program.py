"""Program: a compiled policy, and the loop that runs one phase of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.cel import EvaluationError
from ai_gateway_mw.context import Action, Context
from ai_gateway_mw.errors import GatewayError, PolicyDenied
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.variables import reads_answer


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule as it runs: `when` is None for a rule that always matches."""

    name: str
    when: Callable[[Context], Any] | None
    actions: Sequence[Action]
    needs_body: bool = False
    variables: frozenset[str] = frozenset()


class Program:
    """The rules of every phase, the secrets (vault, name) that they name, what has to be opened for them, and the paths
    that are theirs beside the AI paths."""

    __slots__ = ("_is_one_phase", "_on_request", "_on_tcp_connect", "_answer_needs_body", "_on_message") + (
        "edits_answers",
        "has_response_rules",
        "has_stream_rules",
        "hears_answers",
        "needs",
        "paths",
        "rules",
        "secrets",
    )

    def __init__(
        self,
        rules: Mapping[Phase, Sequence[CompiledRule]] | None = None,
        secrets: frozenset[tuple[str, str]] = frozenset(),
        needs: frozenset[str] = frozenset(),
        paths: frozenset[str] = frozenset(),
    ) -> None:
        self.rules = rules or {}
        self.secrets = secrets
        self.needs = needs
        self.paths = paths
        self._on_tcp_connect = tuple(self.rules.get(Phase.ON_TCP_CONNECT, ()))
        self._on_request = tuple(self.rules.get(Phase.ON_HTTP_REQUEST, ()))
        self.has_response_rules = bool(self.rules.get(Phase.ON_HTTP_RESPONSE))
        self.edits_answers = any(
            getattr(action, "edits_answers", False)
            for rule in self.rules.get(Phase.ON_HTTP_RESPONSE, ())
            for action in rule.actions
        )
        self._on_message = tuple(self.rules.get(Phase.ON_EVENT_STREAM_MESSAGE, ()))
        self.has_stream_rules = bool(self._on_message)
        self.hears_answers = any(reads_answer(rule.variables) for rule in self._on_message)
        answering = (Phase.ON_HTTP_RESPONSE, Phase.ON_EVENT_STREAM_MESSAGE)
        self._answer_needs_body = any(map(self.needs_body, answering))
        self._is_one_phase = not (self._on_tcp_connect or self._answer_needs_body)

    def needs_body(self, phase: Phase) -> bool:
        """Whether a rule of the phase reads the request body."""
        return any(rule.needs_body for rule in self.rules.get(phase, ()))

    def on_request(self, ctx: Context) -> Awaitable[ASGIApp | None]:
        """Run the phases of a request until an action answers; None where none did. Raises the `GatewayError` of a
        refusal."""
        if self._is_one_phase:
            return _run(self._on_request, Phase.ON_HTTP_REQUEST, ctx)
        return self._on_connection_and_request(ctx)

    async def _on_connection_and_request(self, ctx: Context) -> ASGIApp | None:
        if self._on_tcp_connect:
            answer = await _run(self._on_tcp_connect, Phase.ON_TCP_CONNECT, ctx)
            if answer is not None:
                return answer
        answer = await _run(self._on_request, Phase.ON_HTTP_REQUEST, ctx)
        if answer is None and self._answer_needs_body:
            await ctx.read_body()  # the app will have taken it by then
        return answer

    def on_message(self, ctx: Context) -> Awaitable[ASGIApp | None]:
        """Run the rules for the message in `ctx.stream`; nothing that they do is an answer."""
        return _run(self._on_message, Phase.ON_EVENT_STREAM_MESSAGE, ctx)

    async def run(self, phase: Phase, ctx: Context) -> ASGIApp | None:
        """The same for one phase. In the response phase, an answer takes the place of the one in `ctx.response`."""
        return await _run(self.rules.get(phase, ()), phase, ctx)


async def _run(rules: Sequence[CompiledRule], phase: Phase, ctx: Context) -> ASGIApp | None:
    ctx.phase = phase
    for rule in rules:
        if rule.needs_body:
            await ctx.read_body()
            ctx.check_body()
        if rule.when is not None:
            # An expression that fails is a refusal, never a "no match": else leaving out a header would open a guard.
            try:
                matched = rule.when(ctx)
            except EvaluationError as error:
                raise _refusal(f"rule {rule.name}", error) from None
            if matched is False:
                continue
            if matched is not True:
                raise PolicyDenied(f"rule {rule.name}: its expressions gave no true or false")
        for action in rule.actions:
            try:
                answer = await action(ctx)
            except EvaluationError as error:
                raise _refusal(f"rule {rule.name}, action {action.name}", error) from None
            if answer is not None:
                return answer
    return None


def _refusal(where: str, error: EvaluationError) -> GatewayError:
    """What an expression that failed means: what it read may itself be refused, such as a body that is no JSON."""
    cause = error.__cause__
    return cause if isinstance(cause, GatewayError) else PolicyDenied(f"{where}: {error}")
