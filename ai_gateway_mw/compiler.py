"""Compiler: Policy + Stores -> Program. Collects every problem before it gives up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ai_gateway_mw.actions import ACTIONS, UNSUPPORTED
from ai_gateway_mw.cel import Expression
from ai_gateway_mw.context import Action
from ai_gateway_mw.errors import Place, PolicyError, Problem, closest
from ai_gateway_mw.policy import (
    RENAMED_TYPES,
    ActionSpec,
    Path,
    Phase,
    Policy,
    Rule,
    plain_templates,
    validated_in_part,
)
from ai_gateway_mw.program import CompiledRule, Program
from ai_gateway_mw.runtime import Locate, Runtime
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.variables import reads_body


def compile_policy(
    policy: Policy, stores: Stores, actions: Mapping[str, type[Action]] = ACTIONS
) -> tuple[Program, tuple[Problem, ...]]:
    """The program of a policy, and the warnings about it. Raises `PolicyError` with everything that is wrong."""
    problems = list(policy.problems)
    runtime = Runtime(stores, problems=problems)
    compilation = _Compilation(policy, runtime, actions)
    rules = {phase: compilation.rules(phase, written) for phase, written in policy.rules.items()}
    problems.sort(key=_position)
    if any(problem.severity == "error" for problem in problems):
        raise PolicyError(problems)
    return Program(rules, frozenset(runtime.secret_names), frozenset(runtime.needs), frozenset(runtime.paths)), tuple(
        problems
    )


class _Compilation:
    """One policy on its way to a program; problems go to the runtime's list."""

    def __init__(self, policy: Policy, runtime: Runtime, actions: Mapping[str, type[Action]]) -> None:
        self._policy = policy
        self._runtime = runtime
        self._actions = actions
        self._guards: list[str] = []  # rules that let in by the URL, up to here

    def rules(self, phase: Phase, rules: tuple[Rule, ...]) -> tuple[CompiledRule, ...]:
        self._guards = []
        return tuple(self._rule(phase, rule, number) for number, rule in enumerate(rules, 1))

    def _rule(self, phase: Phase, rule: Rule, number: int) -> CompiledRule:
        runtime = self._runtime.at(phase, self._policy.document.place(rule.path))
        when = runtime.condition(rule.expressions)
        actions: list[Action] = []
        ended_by = ""
        for spec in rule.actions:
            if ended_by:
                runtime.problem(f"this action is never reached: `{ended_by}` before it ends the phase", spec.place)
            at_action = self._runtime.at(phase, spec.place, self._locator(spec))
            action = self._action(at_action, spec)
            runtime.variables.update(at_action.variables)
            if action is not None:
                actions.append(action)
            if getattr(action or self._actions.get(spec.type), "terminating", False):
                ended_by = ended_by or spec.type
        name = rule.name or f"{number} of {phase.value}"
        self._see_guards(name, when, rule)
        variables = frozenset(runtime.variables)
        return CompiledRule(name, when, tuple(actions), reads_body(variables), variables)

    def _see_guards(self, name: str, when: Expression | None, rule: Rule) -> None:
        """Warn of a rewrite behind a guard that looks at the URL: it does not look at the new one."""
        for spec in rule.actions:
            kind = self._actions.get(spec.type)
            if self._guards and getattr(kind, "changes_url", False):
                guards = ", ".join(f"`{guard}`" for guard in self._guards)
                message = f"who is let in by the URL is decided before this changes it, in rule {guards}"
                self._runtime.problem(message, spec.place, severity="warning")
        by_url = when is not None and any(variable.startswith("req.url") for variable in when.variables)
        if by_url and any(getattr(self._actions.get(spec.type), "guards", False) for spec in rule.actions):
            self._guards.append(name)

    def _locator(self, spec: ActionSpec) -> Locate:
        def place(path: Path, *, key: bool = False) -> Place:
            return self._policy.document.place((*spec.path, "config", *path), key=key)

        return place

    def _action(self, runtime: Runtime, spec: ActionSpec) -> Action | None:
        spec = self._of_today(runtime, spec)
        kind = self._actions.get(spec.type)
        if kind is None:
            self._unknown(runtime, spec)
            return None
        before = len(runtime.problems)
        config, wrong, lacking = validated_in_part(kind.Config, spec, self._policy.document)
        runtime.problems.extend(wrong)
        if runtime.phase not in kind.phases:
            allowed = ", ".join(sorted(kind.phases))
            runtime.problem(f"`{spec.type}` cannot run in {runtime.phase.value}; it runs in {allowed}")
            return None
        for path in plain_templates(config):
            runtime.problem("`${ }` is not evaluated in this field: it is plain text", field=path, severity="warning")
        action = None if config is None else kind(config, replace(runtime, lacking=lacking))
        found = runtime.problems[before:]
        return None if any(problem.severity == "error" for problem in found) else action

    def _of_today(self, runtime: Runtime, spec: ActionSpec) -> ActionSpec:
        """An action under the name that its type has now."""
        name = RENAMED_TYPES.get(spec.type)
        if name is None:
            return spec
        runtime.problem(f"`{spec.type}` is the old name of `{name}`", spec.place, severity="warning")
        return replace(spec, type=name)

    def _unknown(self, runtime: Runtime, spec: ActionSpec) -> None:
        if spec.type in UNSUPPORTED:
            runtime.problem(f"`{spec.type}` is not supported: {UNSUPPORTED[spec.type]}")
        else:
            runtime.problem(f"unknown action type `{spec.type}`", hint=closest(spec.type, self._actions))


def _position(problem: Problem) -> tuple[str, int, int]:
    place = problem.place or Place("", 0, 0)
    return place.file, place.line, place.column
