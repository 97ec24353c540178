"""Program: a compiled policy, and the loop that runs one phase of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.cel import EvaluationError, Expression
from ai_gateway_mw.context import Action, Context
from ai_gateway_mw.errors import GatewayError, PolicyDenied
from ai_gateway_mw.policy import Phase


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule as it runs: `when` is None for a rule that always matches."""

    name: str
    when: Expression | None
    actions: Sequence[Action]
    needs_body: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """The rules of every phase, and the secrets (vault, name) that they name."""

    rules: Mapping[Phase, Sequence[CompiledRule]] = field(default_factory=dict)
    secrets: frozenset[tuple[str, str]] = frozenset()

    def has(self, phase: Phase) -> bool:
        return bool(self.rules.get(phase))

    def needs_body(self, phase: Phase) -> bool:
        """Whether a rule of the phase reads the request body."""
        return any(rule.needs_body for rule in self.rules.get(phase, ()))

    async def run(self, phase: Phase, ctx: Context) -> ASGIApp | None:
        """Run a phase until an action answers; None where none did. Raises the `GatewayError` of a refusal."""
        rules = self.rules.get(phase)
        if not rules:
            return None
        ctx.phase = phase
        for rule in rules:
            if rule.needs_body:
                await ctx.read_body()
                ctx.check_body()
            if rule.when is not None and not self._matches(rule, rule.when, ctx):
                continue
            for action in rule.actions:
                try:
                    answer = await action(ctx)
                except EvaluationError as error:
                    raise _refusal(f"rule {rule.name}, action {action.name}", error) from None
                if answer is not None:
                    return answer
        return None

    @staticmethod
    def _matches(rule: CompiledRule, when: Expression, ctx: Context) -> bool:
        """An expression that fails is a refusal, never a "no match": else leaving out a header would open a guard."""
        try:
            matched = when(ctx)
        except EvaluationError as error:
            raise _refusal(f"rule {rule.name}", error) from None
        if type(matched) is not bool:
            raise PolicyDenied(f"rule {rule.name}: its expressions gave no true or false")
        return matched


def _refusal(where: str, error: EvaluationError) -> GatewayError:
    """What an expression that failed means: what it read may itself be refused, such as a body that is no JSON."""
    cause = error.__cause__
    return cause if isinstance(cause, GatewayError) else PolicyDenied(f"{where}: {error}")
