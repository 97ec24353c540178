"""A Traffic Policy inside another document -> one that loads here, rule by rule.

What cannot run here is never skipped where it may have been a protection: what it would have guarded is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from ai_gateway_mw.compiler import compile_policy
from ai_gateway_mw.errors import Place, PolicyError, Problem
from ai_gateway_mw.facts import IPPolicy
from ai_gateway_mw.hosts import internal_url
from ai_gateway_mw.imports.hiding import Hiding
from ai_gateway_mw.imports.result import Imported
from ai_gateway_mw.internal import Internal, name_of
from ai_gateway_mw.policy import ActionSpec, Document, Node, Path, Phase, Policy, Rule, load_policy, policy_in
from ai_gateway_mw.stores import Stores

# Without these a request is served all the same, and nothing is let in that was kept out.
_HARMLESS: Final = frozenset({"add-headers", "remove-headers", "log", "compress-response"})
_REFUSING: Final = (Phase.ON_TCP_CONNECT, Phase.ON_HTTP_REQUEST)
_SET: Final = "add {} to AI_GATEWAY_INTERNAL"
_IN_ITS_PLACE: Final = "until you write something else, what it was for is refused"


class _AnyInternal(Internal):
    """Knows every name in `.internal`: where one leads is a setting, which an import can only ask for."""

    def __bool__(self) -> bool:
        return True

    def __contains__(self, name: str) -> bool:
        return True


class _AnyIPPolicy(dict[str, IPPolicy]):
    """Knows every id of an IP policy: which ranges it has is a setting, too."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> Any:
        return IPPolicy.of(["0.0.0.0/0"])


def with_any_names(stores: Stores) -> Stores:
    """The same stores, for policies with names that are not set yet: where `forward-internal` leads to, and IP
    policies."""
    made = copy.copy(stores)
    made.internal = _AnyInternal(stores.internal.urls, stores.internal.apps)
    made.ip_policies = _AnyIPPolicy  # type: ignore[method-assign]
    return made


class PolicyImport:
    """Carries policies over; remarks and secrets go to one report. `upstreams` says of names in `.internal` what
    answered there."""

    def __init__(self, imported: Imported, stores: Stores, upstreams: Mapping[str, str] | None = None) -> None:
        self._imported = imported
        self._stores = with_any_names(stores)
        self._known_ip_policies = stores.ip_policies
        self._upstreams = upstreams or {}
        self.hiding = Hiding(imported)
        self._broken: frozenset[Path] = frozenset()
        self._at: Place | None = None  # where all of it stands, if it was not written as a policy

    def carried(self, node: Node) -> dict[str, Any]:
        """The policy at a node, as data; empty where there is nothing to carry over."""
        return self._carried(policy_in(node, node.place.file))

    def _carried(self, policy: Policy) -> dict[str, Any]:
        for problem in policy.problems:
            self._tell(problem)
        self._broken = _broken(policy)
        made = {phase: [self._rule(phase, rule, policy) for rule in rules] for phase, rules in policy.rules.items()}
        made_plain: dict[str, Any] = self.hiding.whole(
            {phase.value: kept for phase, rules in made.items() if (kept := [rule for rule in rules if rule])}
        )
        return made_plain

    def _remark(self, place: Place, message: str, instead: str = "") -> None:
        self._imported.remark(self._at or place, message, instead)

    def written(self, phase: str, actions: Any, node: Node) -> list[dict[str, Any]]:
        """A rule of actions that something else than a rule was written for, at a node."""
        listed = actions if isinstance(actions, list) else [actions]
        if not listed:
            return []
        self._at = node.place
        rules = self._carried(load_policy({phase: [{"actions": listed}]}, strict=False)).get(phase, [])
        self._at = None
        return list(rules)

    def _rule(self, phase: Phase, rule: Rule, policy: Policy) -> dict[str, Any] | None:
        place = policy.document.place(rule.path)
        expressions = [self.hiding.expression(str(text), rule.name or "rule", place) for text in rule.expressions]
        head: dict[str, Any] = {"name": rule.name} if rule.name else {}
        if rule.path in self._broken or not self._loads(phase, rule, policy.document, actions=()):
            if phase not in _REFUSING or all(spec.type in _HARMLESS for spec in rule.actions):
                self._remark(
                    place, "the rule was left out: it cannot be read, or its expressions cannot be evaluated here"
                )
                return None
            self._remark(place, "this rule cannot be read, or its expressions cannot be evaluated here", _IN_ITS_PLACE)
            return {**head, "actions": [{"type": "deny"}]}
        actions = self._actions(phase, rule, policy)
        if not actions:
            return None
        return {**head, **({"expressions": expressions} if expressions else {}), "actions": actions}

    def _actions(self, phase: Phase, rule: Rule, policy: Policy) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        kept: list[ActionSpec] = []
        for spec in rule.actions:
            config = self._config(spec, policy.document)
            if self._loads(phase, rule, policy.document, actions=(spec,)):
                if not self._loads(phase, rule, policy.document, actions=(*kept, spec)):
                    break  # it is never reached
                action = {"type": str(spec.type), **({"config": config} if config else {})}
                if self._loads_as_written(phase, action, spec):
                    self._see_forward(spec)
                    self._see_ip_policies(spec)
                    kept.append(spec)
                    made.append(action)
                    continue
            if phase in _REFUSING and spec.type not in _HARMLESS:
                self._remark(spec.place, f"in the place of `{spec.type}` stands `deny`", _IN_ITS_PLACE)
                return [*made, {"type": "deny"}]
        return made

    def _see_forward(self, spec: ActionSpec) -> None:
        """Ask for the setting without which the policy does not load."""
        url, internal = str(spec.config.get("url", "")), self._stores.internal
        if spec.type != "forward-internal":
            return
        name = internal_name_in(url)
        if not name:
            self._remark(
                spec.place, "which names in `.internal` this may lead to is a setting", _SET.format("name=URL")
            )
        elif name not in internal.urls:
            lead = _SET.format(f"{name}={_upstream_url(self._upstreams.get(name, ''))}")
            self._remark(spec.place, f"where `{name}.internal` leads is a setting", lead)

    def _see_ip_policies(self, spec: ActionSpec) -> None:
        """The same."""
        if spec.type != "restrict-ips" or not (names := spec.config.get("ip_policies")):
            return
        known = self._known_ip_policies()
        for name in names:
            if name not in known:
                lead = f"add {name}=RANGE to AI_GATEWAY_IP_POLICIES"
                self._remark(spec.place, f"which ranges the IP policy `{name}` has is a setting", lead)

    def _config(self, spec: ActionSpec, document: Document) -> Mapping[str, Any]:
        made: dict[str, Any] = self.hiding.config(
            dict(spec.config), spec.type, lambda path: self._at or document.place((*spec.path, "config", *path))
        )
        return made

    def _loads(self, phase: Phase, rule: Rule, document: Document, *, actions: tuple[ActionSpec, ...]) -> bool:
        """Whether a rule with these of its actions can run here; what keeps it from that is told."""
        tried = replace(rule, actions=actions, expressions=() if actions else rule.expressions)
        try:
            compile_policy(Policy({phase: (tried,)}, document), self._stores)
        except PolicyError as error:
            for problem in error.problems:
                self._tell(problem)
            return False
        return True

    def _loads_as_written(self, phase: Phase, action: dict[str, Any], spec: ActionSpec) -> bool:
        """Whether it still can run now that its secrets are read from elsewhere: not all places may hold one."""
        try:
            compile_policy(load_policy({phase.value: [{"actions": [action]}]}, strict=False), self._stores)
        except PolicyError as error:
            said = next(each.headline for each in error.problems if each.severity == "error")
            self._remark(spec.place, f"`{spec.type}` cannot hold the secret that stands in it: {said}")
            return False
        return True

    def _tell(self, problem: Problem) -> None:
        if problem.severity != "error" or problem.place is None:
            return
        message, _, instead = self.hiding.message(problem.headline).partition(": ")
        if instead and "is not supported" in message:
            self._remark(problem.place, message, instead)
        else:
            self._remark(problem.place, f"{message}: {instead}" if instead else message)


def _upstream_url(text: str) -> str:
    """What answered at an endpoint, as the setting `INTERNAL` writes it; a port alone is one of this machine."""
    url = f"http://127.0.0.1:{text}" if text.isdigit() else text if "://" in text else f"http://{text}"
    try:
        internal_url(url)
    except ValueError:
        return "URL"
    return url


def internal_upstreams(endpoints: Iterable[Node], url: Path, upstream: Path) -> dict[str, str]:
    """What answers at the endpoints in `.internal`, which other endpoints forward to: where each has its URL, and that
    of its upstream."""
    led = [(text_at(each, url), text_at(each, upstream)) for each in endpoints]
    return {name: to for of, to in led if (name := internal_name_in(of))}


def text_at(node: Node, path: Path) -> str:
    """The scalar at a path; empty where there is none."""
    at, missing = node.at(path)
    return "" if missing or at.children or at.value is None else str(at.text)


def internal_name_in(url: str) -> str:
    """The name in `.internal` that a URL has, or an empty string; one that a request makes up has none yet."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return "" if "$" in host else name_of(host) or ""


def _broken(policy: Policy) -> frozenset[Path]:
    """The rules in which something could not be read: without it they would do something else."""
    starts = sorted(
        (place.line, place.column, rule.path)
        for rules in policy.rules.values()
        for rule in rules
        for place in [policy.document.place(rule.path)]
    )
    wrong = [
        (each.place.line, each.place.column) for each in policy.problems if each.place and each.severity == "error"
    ]
    before = [[path for line, column, path in starts if (line, column) <= at] for at in wrong]
    return frozenset(paths[-1] for paths in before if paths)
