"""Rehearsal: the gateway of a policy as `run` has it, in front of doubles, with all that it does written down."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self, cast

from ai_gateway_mw.actions.gateway_auth import GatewayAuth
from ai_gateway_mw.asgi import ASGIApp, Message
from ai_gateway_mw.cel import EvaluationError, Explanation
from ai_gateway_mw.context import Action, Context
from ai_gateway_mw.errors import GatewayError, PolicyDenied
from ai_gateway_mw.explain.asked import Asked
from ai_gateway_mw.explain.course import ActionTaken, Considered, Course, RuleTaken, Sent
from ai_gateway_mw.explain.doubles import Placeholders, PretendedAccounts, Providers
from ai_gateway_mw.explain.masks import Masks, WatchedStore
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.policy import Phase, Policy
from ai_gateway_mw.program import CompiledRule, Program
from ai_gateway_mw.providers import Model
from ai_gateway_mw.secrets import build_store
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.upstream.candidate import Candidate, ProviderKey
from ai_gateway_mw.upstream.key_selection import KeyNote

_CANDIDATES: Final = 64
_MODELS: Final = 40
_BODY: Final = 4000


class Rehearsal:
    """One policy, ready to be asked. What it learns from answers it keeps from one request to the next, as a gateway
    does. Raises `PolicyError` when made."""

    def __init__(
        self,
        policy: Policy,
        settings: Settings,
        *,
        providers: Providers | None = None,
        given: Mapping[str, Mapping[str, str]] | None = None,
        own_secrets: bool = True,
    ) -> None:
        """`given` are secrets by vault and name. Without `own_secrets`, those of this installation are left alone."""
        self._declared: dict[str, str] = {}
        self._rule: RuleTaken | None = None
        self._action: ActionTaken | None = None
        self.providers = providers or Providers()
        self.placeholders = Placeholders(given)
        own = build_store(settings).sources if own_secrets else ()
        self._store = WatchedStore([*own, self.placeholders])
        self.masks = Masks(self._store)
        self._directory = tempfile.TemporaryDirectory(prefix="ai-gateway-")
        try:
            self._open(policy, settings)
        except BaseException:
            self._directory.cleanup()
            raise

    def _open(self, policy: Policy, settings: Settings) -> None:
        quiet = {"data_dir": Path(self._directory.name), "audit_requests": "off", "admin_token": None}
        self.gateway = Gateway(
            policy, settings=settings.model_copy(update=quiet), secrets=self._store, transport=self.providers
        )
        stores = self.gateway.stores
        self._accounts = PretendedAccounts(stores.settings, lambda: stores.counters)
        stores.accounts = self._accounts
        stores.random = random.Random(1)
        stores.observer = self._told
        self.gateway.reload(policy)  # once more: with an observer, and without a database
        self._find_gateway_keys()
        self._key: str | None = None
        self.gateway.program = self._watched(self.gateway.program)
        self.gateway.is_open = True
        self._begin(Asked())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self.gateway.stores.aclose()
        self._directory.cleanup()

    async def ask(self, asked: Asked, key: str | None = None) -> Course:
        """What becomes of a request, from a client that has the gateway key of this name. Raises `NoRequest`."""
        self._key = key
        if key is not None:
            asked = asked.with_credential(self._declared.get(key) or self._accounts.pretend(key))
        scope = asked.scope()
        course = self._begin(asked)
        await self.gateway.app(scope, _Receiving(asked.body), self._send)
        self._finish(course)
        return course

    @property
    def names_of_turn(self) -> Sequence[str]:
        """Whose turn it is: the key, the candidate, the provider."""
        if self._ctx is None or not self._ctx.attempts:
            return ()
        candidate = self._ctx.attempts[-1].candidate
        key = (self.masks.name_of(candidate.key),) if candidate.key is not None else ()
        return (*key, candidate.name, candidate.provider.id)

    # beginning and end of one request

    def _begin(self, asked: Asked) -> Course:
        for name, value in asked.credentials:
            if value not in self._declared.values():
                self.masks.hide(value, f"client/{name}")
        self._ctx: Context | None = None
        self._rest: list[Candidate] = []
        self._rings: dict[str, Sequence[ProviderKey]] = {}
        self._key_notes: list[tuple[Model | None, list[KeyNote]]] = []
        self._rule, self._action = None, None
        self._answer = b""
        self._first_sent = len(self.providers.sent)
        self._course = Course(_request(asked, self.masks))
        self._taken = {
            (phase, place): RuleTaken(phase.value, rule.name, self._place(phase, place))
            for phase, rules in self.gateway.program.rules.items()
            for place, rule in enumerate(rules)
        }
        self._course.rules = list(self._taken.values())
        return self._course

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._course.status = message["status"]
            self._course.fields = [
                (name.decode("latin-1"), self.masks.bounded(value.decode("latin-1")))
                for name, value in message["headers"]
            ]
        else:
            self._answer += message.get("body", b"")

    def _finish(self, course: Course) -> None:
        course.answer = self.masks.text(self._answer.decode("utf-8", "replace"))
        course.body = self.masks.bounded(course.answer, _BODY)
        if self._accounts.looked_up:
            self._accounts.looked_up = False
            told = f"`{self._key}` is pretended" if self._key else "`--key NAME` pretends one"
            course.notes.append(f"gateway-auth: a key would be looked up in the database here; {told}")
        if self.placeholders.asked:
            course.notes.append(f"placeholders stand for secrets: {', '.join(sorted(self.placeholders.asked))}")
        ctx = self._ctx
        if ctx is None:
            return
        self._tell_models(course, ctx)
        self._tell_keys(course, ctx)
        self._tell_sent(course, ctx)

    def _tell_models(self, course: Course, ctx: Context) -> None:
        if ctx.selection is None:
            return
        order = {id(offer.model): place for place, offer in enumerate(ctx.offers, 1) if offer.model is not None}
        offered = [offer.model for offer in ctx.offers if offer.model is not None]
        strategies = ctx.selection.strategies or []
        if strategies and not strategies[-1]["kept"]:
            offered = []  # all of them came back empty
        chosen = (
            f"chosen by strategy {len(strategies)}" if strategies else "asked for" if ctx.names_models else "on offer"
        )
        course.models += [Considered(_named(model), order[id(model)], chosen) for model in offered[:_MODELS]]
        offered_ids = {(model.provider_id, model.id) for model in offered}
        dropped = [model for model in ctx.models if (model.provider_id, model.id) not in offered_ids]
        why = "; ".join(
            f"strategy {place} {'failed: ' + note['error'] if note['error'] else 'left it out'}"
            for place, note in enumerate(strategies, 1)
        )
        course.models += [Considered(_named(model), None, self.masks.text(why)) for model in dropped[:_MODELS]]
        course.models += [Considered(name, None, str(reason)) for name, reason in ctx.selection.rejected[:_MODELS]]
        untold = max(0, len(offered) - _MODELS) + max(0, len(dropped) - _MODELS)
        if untold:
            course.notes.append(f"{untold} more models are not shown")

    def _tell_keys(self, course: Course, ctx: Context) -> None:
        candidates = [*(attempt.candidate for attempt in ctx.attempts), *self._rest]
        order: dict[str, int] = {}
        for candidate in candidates:
            if candidate.key is not None:
                name = f"{candidate.provider.id}: {self.masks.name_of(candidate.key)}"
            elif candidate.credential is not None:
                name = f"{candidate.provider.id}: the client's own key"
            else:
                name = f"{candidate.provider.id}: no key"
            order.setdefault(name, len(order) + 1)
        course.keys = [Considered(name, place, self._why_kept(name)) for name, place in order.items()]
        for provider, keys in self._rings.items():
            names = {f"{provider}: {self.masks.name_of(key)}": key for key in keys}
            course.keys += [
                Considered(name, None, self._why_dropped(provider, key))
                for name, key in names.items()
                if name not in order
            ]

    def _notes_of(self, provider: str) -> Sequence[KeyNote]:
        return next(
            (notes for model, notes in self._key_notes if model is not None and model.provider_id == provider), ()
        )

    def _why_kept(self, name: str) -> str:
        notes = self._notes_of(name.partition(":")[0])
        return f"chosen by strategy {len(notes)}" if notes and notes[-1].keys else "in the order of the policy"

    def _why_dropped(self, provider: str, key: ProviderKey) -> str:
        notes = self._notes_of(provider)
        if notes and not any(one is key for note in notes for one in note.keys):
            return "no strategy chose it" if len(notes) > 1 or not notes[-1].keys else "strategy 1 left it out"
        return f"stands back: it is {key.state}"

    def _tell_sent(self, course: Course, ctx: Context) -> None:
        for attempt, request in zip(ctx.attempts, self.providers.sent[self._first_sent :], strict=False):
            candidate = attempt.candidate
            own = "the client's own key" if candidate.credential is not None else ""
            fields = [(n.decode("latin-1"), self.masks.bounded(v.decode("latin-1"))) for n, v in request.headers.raw]
            course.sent.append(
                Sent(
                    candidate.name,
                    self.masks.name_of(candidate.key) if candidate.key is not None else own,
                    request.method,
                    self.masks.text(attempt.url),
                    fields,
                    self.masks.bounded(request.content.decode("utf-8", "replace"), _BODY),
                    attempt.outcome.value,
                    attempt.status,
                    self.masks.text(request.content.decode("utf-8", "replace")),
                )
            )

    # what is observed

    def _told(self, explanation: Explanation) -> None:
        self._remember_keys(explanation)
        told = self.masks.explanation(explanation)
        if self._action is not None:
            self._action.expressions.append(told)
        elif self._rule is not None:
            self._rule.why.append(told)

    def _remember_keys(self, explanation: Explanation) -> None:
        """All keys that a strategy could have chosen from."""
        if explanation.source == "ai.keys" and isinstance(explanation.value, (list, tuple)):
            for key in explanation.value:
                if isinstance(key, ProviderKey):
                    self._rings.setdefault(key.ring.provider_id, explanation.value)
        for part in explanation.parts:
            self._remember_keys(part)

    def _watched(self, program: Program) -> Program:
        rules = {
            phase: tuple(self._watched_rule(phase, place, rule) for place, rule in enumerate(rules))
            for phase, rules in program.rules.items()
        }
        return Program(rules, program.secrets, program.needs)

    def _watched_rule(self, phase: Phase, place: int, rule: CompiledRule) -> CompiledRule:
        actions = [
            cast("Action", _WatchedAction(self, phase, place, number, action))
            for number, action in enumerate(rule.actions)
        ]
        when = None if rule.when is None else _WatchedWhen(self, phase, place, rule.when)
        return replace(rule, when=when, actions=actions)

    def rule_begins(self, phase: Phase, place: int, ctx: Context) -> RuleTaken:
        self._ctx, self._action = ctx, None
        self._rule = self._taken[phase, place]
        return self._rule

    def action_begins(self, phase: Phase, place: int, number: int, type_: str, ctx: Context) -> ActionTaken:
        rule = self.rule_begins(phase, place, ctx)
        rule.verdict = "matched"
        self._action = ActionTaken(type_, self._place(phase, place, number))
        rule.actions.append(self._action)
        return self._action

    def action_ended(self, taken: ActionTaken, ctx: Context, before: Mapping[str, Any]) -> None:
        taken.vars = {
            name: self.masks.value(value) for name, value in ctx.vars.items() if before.get(name, self) is not value
        }
        self._course.vars |= taken.vars
        if taken.type == "ai-gateway":
            self._draw_the_rest(ctx)
        else:
            name, results = taken.type.replace("-", "_"), ctx.results
            taken.result = self.masks.value(results.get(name) or results["ngrok"].get(name))
        self._action = None

    def refused(self, error: GatewayError) -> dict[str, str]:
        told = {"code": error.code, "message": self.masks.text(error.message)}
        if isinstance(error, PolicyDenied):
            told["reason"] = self.masks.text(error.reason)
        self._course.refused = told
        return told

    def _draw_the_rest(self, ctx: Context) -> None:
        """The candidates whose turn never came. What is noted on the way is not the request's own doing."""
        notes, keys = list(ctx.key_notes), ctx.keys
        with suppress(GatewayError, EvaluationError):
            for candidate in islice(ctx.candidates, _CANDIDATES):
                self._rest.append(candidate)
        self._key_notes, ctx.key_notes, ctx.keys = ctx.key_notes, notes, keys
        action, self._action, self._rule = self._action, None, None  # nobody is told of what follows
        for candidate in (*(attempt.candidate for attempt in ctx.attempts), *self._rest):
            if candidate.key is not None:
                self._rings.setdefault(candidate.provider.id, candidate.key.ring.keys(ctx))
        self._action = action

    # places and keys of the policy

    def _place(self, phase: Phase, rule: int, action: int | None = None) -> str:
        policy = self.gateway.policy
        written = policy.rules[phase][rule]
        return str(policy.document.place(written.path) if action is None else written.actions[action].place)

    def _find_gateway_keys(self) -> None:
        """The keys that the policy declares, by their names; their placeholders must be gateway keys, too."""
        actions: list[Any] = [
            action for rules in self.gateway.program.rules.values() for rule in rules for action in rule.actions
        ]
        declared = [pair for action in actions if isinstance(action, GatewayAuth) for pair in action.declared]
        for _, template in declared:
            self.placeholders.gateway_keys |= {
                (names[0], names[1]) if len(names) == 2 else ("default", names[0]) for names in template.secrets
            }
        for key, template in declared:
            with suppress(EvaluationError):
                self._declared[key.name] = template.render(None)


class _WatchedWhen:
    """The condition of a rule; it says what it gave."""

    def __init__(self, rehearsal: Rehearsal, phase: Phase, place: int, when: Any) -> None:
        self._told, self._phase, self._place, self._when = rehearsal, phase, place, when

    def __call__(self, ctx: Context) -> Any:
        rule = self._told.rule_begins(self._phase, self._place, ctx)
        rule.verdict = "failed"
        matched = self._when(ctx)
        rule.verdict = "matched" if matched else "not matched"
        return matched


class _WatchedAction:
    """An action; it says what became of it."""

    def __init__(self, rehearsal: Rehearsal, phase: Phase, place: int, number: int, action: Action) -> None:
        self.name = action.name
        self._told, self._at, self._action = rehearsal, (phase, place, number), action

    async def __call__(self, ctx: Context) -> ASGIApp | None:
        told, before = self._told, ctx.vars
        taken = told.action_begins(*self._at, self.name, ctx)
        try:
            answer = await self._action(ctx)
            taken.outcome = "went on" if answer is None else "answered"
            return answer
        except GatewayError as error:
            taken.outcome, taken.error = "refused", told.refused(error)
            raise
        except EvaluationError as error:
            taken.outcome, taken.error = "failed", {"code": "policy_denied", "message": told.masks.text(str(error))}
            raise
        finally:
            told.action_ended(taken, ctx, before)


class _Receiving:
    """`receive` of a client that sends its body at once, and stays."""

    def __init__(self, body: bytes) -> None:
        self._messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def __call__(self) -> Message:
        return self._messages.pop() if self._messages else {"type": "http.disconnect"}


def _request(asked: Asked, masks: Masks) -> dict[str, Any]:
    return {
        "method": asked.method,
        "path": masks.bounded(asked.target),
        "fields": [(name, masks.bounded(value)) for name, value in asked.fields],
        "body": masks.bounded(asked.body.decode("utf-8", "replace"), _BODY),
        "ip": asked.ip,
    }


def _named(model: Model) -> str:
    return f"{model.provider_id}:{model.id}"
