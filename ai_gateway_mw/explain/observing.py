"""What a program does with one request, written down while it runs: rules, actions, expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Any, Final, cast

import httpx

from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.cel import EvaluationError, Explanation
from ai_gateway_mw.context import Action, Context
from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.explain.course import ActionTaken, Course, RuleTaken
from ai_gateway_mw.explain.masks import Masks
from ai_gateway_mw.policy import Phase, Policy
from ai_gateway_mw.program import CompiledRule, Program
from ai_gateway_mw.providers import Model
from ai_gateway_mw.results import Spared
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.key_ring import ProviderKey
from ai_gateway_mw.upstream.key_selection import KeyNote
from ai_gateway_mw.upstream.queue import CandidateQueue

_CANDIDATES: Final = 64
_TIMES: Final = 8  # that one rule is told of: rules for messages run for each of them
_KEYS: Final = "ai.keys"
_ABSENT: Final = object()


class Observation:
    """One request under observation. `ctx` is there once a rule was looked at; `rest` are the candidates whose turn
    never came, in the order in which it would have, `rings` the keys of each provider that could have been chosen."""

    def __init__(self, course: Course, masks: Masks, policy: Policy, program: Program) -> None:
        self.course = course
        self.masks = masks
        self.ctx: Context | None = None
        self.rest: list[Candidate] = []
        self.rings: dict[str, Sequence[ProviderKey]] = {}
        self.key_notes: list[tuple[Model | None, list[KeyNote]]] = []
        self.requests: list[tuple[Attempt | None, str, httpx.Request]] = []  # each with its attempt or its action
        self._policy = policy
        self._rule: RuleTaken | None = None
        self._action: ActionTaken | None = None
        self._taken = {
            (phase, place): RuleTaken(phase.value, rule.name, _place(policy, phase, place))
            for phase, rules in program.rules.items()
            for place, rule in enumerate(rules)
        }
        course.rules = list(self._taken.values())

    @property
    def has_strategies_for_keys(self) -> bool:
        """Whether any were asked."""
        return bool(self.key_notes)

    def told(self, explanation: Explanation) -> None:
        """An expression was evaluated."""
        self._remember_keys(explanation)
        self.masks.learn(explanation)
        if self._rule is not None and self._rule.times > _TIMES:
            return
        if self._action is not None:
            self._add(self._action.expressions, self.masks.explanation(explanation))
        elif self._rule is not None:
            self._rule.why.append(self.masks.explanation(explanation))

    def _add(self, told: list[dict[str, Any]], explanation: dict[str, Any]) -> None:
        """One more; a strategy for keys says for which models, and once what it comes to for several of them."""
        model = self.ctx.key_notes[-1][0] if self.ctx is not None and self.ctx.key_notes else None
        if model is not None and _KEYS in explanation["source"]:
            named = f"{model.provider_id}:{model.id}"
            for each in told:
                if "for" in each and {**each, "for": None} == {**explanation, "for": None}:
                    each["for"] += [named] if named not in each["for"] else []
                    return
            explanation["for"] = [named]
        told.append(explanation)

    def sending(self, request: httpx.Request) -> None:
        """A request goes out: to a provider for an attempt, or to somebody else for an action."""
        type_ = self._action.type if self._action is not None else ""
        attempts = self.ctx.attempts if self.ctx is not None and type_ == "ai-gateway" else ()
        self.requests.append((attempts[-1] if attempts else None, type_, request))

    def rule_begins(self, phase: Phase, place: int, ctx: Context) -> RuleTaken:
        self.ctx, self._action = ctx, None
        self._rule = self._taken[phase, place]
        return self._rule

    def rule_matched(self, rule: RuleTaken, matched: bool) -> None:
        """What the condition gave; of rules for messages, one that matched counts for all."""
        rule.times += 1
        if rule.verdict != "matched":
            rule.verdict = "matched" if matched else "not matched"

    def action_begins(self, phase: Phase, place: int, number: int, type_: str, ctx: Context) -> ActionTaken:
        rule = self.rule_begins(phase, place, ctx)
        if rule.verdict != "matched" or not rule.why:
            rule.times += number == 0
        rule.verdict = "matched"
        self._action = ActionTaken(type_, _place(self._policy, phase, place, number))
        if rule.times <= _TIMES:
            rule.actions.append(self._action)
        return self._action

    def action_ended(self, taken: ActionTaken, ctx: Context, before: Mapping[str, Any]) -> None:
        for name, value in ctx.vars.items():
            if before.get(name, _ABSENT) is not value:
                taken.vars[name] = self.masks.value(value)
        self.course.vars |= taken.vars
        if taken.type == "ai-gateway":
            self._draw_the_rest(ctx)  # its result is made when it is first read, and that is not up to us
        else:
            name, results = taken.type.replace("-", "_"), ctx.results
            taken.result = self.masks.value(results.get(name) or results["ngrok"].get(name))
        self._action = None

    def refused(self, error: GatewayError) -> dict[str, str]:
        told = {"code": error.code, "message": self.masks.text(error.message)}
        if error.reason:
            told["reason"] = self.masks.text(error.reason)
        self.course.refused = told
        return told

    def spared(self, spared: Spared) -> dict[str, str]:
        """A refusal that did not come about."""
        return {"code": spared.code, "message": self.masks.text(spared.reason)}

    def _draw_the_rest(self, ctx: Context) -> None:
        """The candidates whose turn never came. What is noted on the way is not the request's own doing."""
        notes, keys = list(ctx.key_notes), ctx.keys
        with suppress(GatewayError, EvaluationError), _over(ctx):
            if not _tried_once(ctx):
                self.rest += islice(ctx.candidates, _CANDIDATES)
        self.key_notes, ctx.key_notes, ctx.keys = ctx.key_notes, notes, keys
        self._action = self._rule = None  # nobody is told of what follows
        passed_over = ctx.candidates.passed_over if isinstance(ctx.candidates, CandidateQueue) else ()
        for candidate in (*(attempt.candidate for attempt in ctx.attempts), *self.rest, *passed_over):
            if candidate.key is not None:
                self.rings.setdefault(candidate.provider.id, candidate.key.ring.keys(ctx))

    def _remember_keys(self, explanation: Explanation) -> None:
        """All keys that a strategy could have chosen from."""
        if explanation.source == _KEYS and isinstance(explanation.value, list | tuple):
            for key in explanation.value:
                if isinstance(key, ProviderKey):
                    self.rings.setdefault(key.ring.provider_id, explanation.value)
        for part in explanation.parts:
            self._remember_keys(part)


class Observer:
    """Stands between a program and whoever observes it now."""

    def __init__(self) -> None:
        self.now: Observation | None = None

    def told(self, explanation: Explanation) -> None:
        if self.now is not None:
            self.now.told(explanation)

    def sending(self, request: httpx.Request) -> None:
        if self.now is not None:
            self.now.sending(request)

    def watched(self, program: Program) -> Program:
        """The same program; what it does is written down."""
        rules = {
            phase: tuple(self._watched_rule(phase, place, rule) for place, rule in enumerate(rules))
            for phase, rules in program.rules.items()
        }
        return Program(rules, program.secrets, program.needs, program.paths)

    def _watched_rule(self, phase: Phase, place: int, rule: CompiledRule) -> CompiledRule:
        actions = [
            cast("Action", _WatchedAction(self, phase, place, number, action))
            for number, action in enumerate(rule.actions)
        ]
        when = None if rule.when is None else _WatchedWhen(self, phase, place, rule.when)
        return replace(rule, when=when, actions=actions)


class _WatchedWhen:
    """The condition of a rule; it says what it gave."""

    def __init__(self, observer: Observer, phase: Phase, place: int, when: Any) -> None:
        self._observer, self._phase, self._place, self._when = observer, phase, place, when

    def __call__(self, ctx: Context) -> Any:
        assert self._observer.now is not None
        now = self._observer.now
        rule = now.rule_begins(self._phase, self._place, ctx)
        try:
            matched = self._when(ctx)
        except EvaluationError:
            rule.verdict = "failed"
            raise
        now.rule_matched(rule, matched)
        return matched


class _WatchedAction:
    """An action; it says what became of it."""

    def __init__(self, observer: Observer, phase: Phase, place: int, number: int, action: Action) -> None:
        self.name = action.name
        self._observer, self._at, self._action = observer, (phase, place, number), action

    def __getattr__(self, name: str) -> Any:
        """What else a program asks of an action, such as whether it edits answers."""
        return getattr(self._action, name)

    async def __call__(self, ctx: Context) -> ASGIApp | None:
        assert self._observer.now is not None
        now, before, spared = self._observer.now, ctx.vars, ctx.spared
        taken = now.action_begins(*self._at, self.name, ctx)
        try:
            answer = await self._action(ctx)
            taken.outcome = "went on" if answer is None else "answered"
            if ctx.spared is not spared:
                taken.outcome, taken.error = "would have refused", now.spared(ctx.spared[-1])
            return answer
        except GatewayError as error:
            taken.outcome, taken.error = "refused", now.refused(error)
            raise
        except EvaluationError as error:
            taken.outcome, taken.error = "failed", {"code": "policy_denied", "message": now.masks.text(str(error))}
            raise
        finally:
            now.action_ended(taken, ctx, before)


@contextmanager
def _over(ctx: Context) -> Iterator[None]:
    """As if the attempt that answers were over, as it would be had it failed."""
    key = ctx.attempts[-1].candidate.key if ctx.upstream is not None else None
    if key is None:
        yield
        return
    key.live.in_flight -= 1
    try:
        yield
    finally:
        key.live.in_flight += 1


def _tried_once(ctx: Context) -> bool:
    """Whether nobody follows: a client's own key gets one attempt."""
    tried = ctx.attempts[-1].candidate if ctx.attempts else None
    return tried is not None and tried.credential is not None and tried.provider.needs_key


def _place(policy: Policy, phase: Phase, rule: int, action: int | None = None) -> str:
    written = policy.rules[phase][rule]
    return str(policy.document.place(written.path) if action is None else written.actions[action].place)
