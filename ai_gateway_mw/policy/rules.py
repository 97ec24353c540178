"""Phases of a policy node -> rules in canonical form. Every deviation is reported with its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ai_gateway_mw.errors import Place, closest
from ai_gateway_mw.policy.document import Node, Path
from ai_gateway_mw.policy.legacy import DISABLED, ENABLED, GONE, LITELLM
from ai_gateway_mw.policy.model import ActionSpec, Phase, Rule
from ai_gateway_mw.policy.problems import Problems
from ai_gateway_mw.policy.shapes import LEGACY_PHASES, PHASE_KEYS
from ai_gateway_mw.policy.text import ExpressionText, Text
from ai_gateway_mw.policy.wording import found, listed

_RULE_KEYS = ("name", "expressions", "actions")
_ACTION_KEYS = ("type", "config")
_SHORTHAND_KEYS = (*_ACTION_KEYS, "name", "expressions")
_CONDITIONS = frozenset({"if", "when", "condition", "expression", "match"})
_FRAMES = {
    **dict.fromkeys(("type", "config", "actions", "expressions"), "on_http_request: [{%s: …}]"),
    **dict.fromkeys(
        ("providers", "model_selection", "api_key_selection", "only_allow_configured_providers", "total_timeout"),
        "on_http_request: [{type: ai-gateway, config: {%s: …}}]",
    ),
    "api_keys": "on_http_request: [{type: ai-gateway, config: {providers: [{id: …, %s: …}]}}]",
    "strategy": "on_http_request: [{type: ai-gateway, config: {api_key_selection: {%s: …}}}]",
}


class RuleReader:
    """Reads the rules of one policy."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def phases(self, root: Node) -> Mapping[Phase, tuple[Rule, ...]]:
        """All rules; each phase is there, if only with no rules."""
        rules: dict[Phase, tuple[Rule, ...]] = dict.fromkeys(Phase, ())
        if isinstance(root.value, list):
            self._problems.warning("a list of rules without a phase; it is taken for `on_http_request`", root.place)
            rules[Phase.ON_HTTP_REQUEST] = self._rules(root, ())
        elif root.value is not None and not isinstance(root.value, dict):
            self._problems.error(_not_a_policy(root), root.place)
        elif not self._is_fragment(root):
            for key in root.children:
                if phase := self._phase(str(key), root):
                    rules[phase] = self._rules(root.children[key], (key,), root.key_place(key))
        return rules

    def _is_fragment(self, root: Node) -> bool:
        """Whether this is a piece of a policy, or none at all but LiteLLM's; it is then reported with what it lacks."""
        if root.children.keys() & PHASE_KEYS:
            return False
        if "model_list" in root.children:
            self._problems.error(LITELLM, root.key_place("model_list"))
            return True
        keys = [str(key) for key in root.children if key in _FRAMES]
        if not keys:
            return False
        self._problems.error(f"this is only a part of a policy: {_FRAMES[keys[0]] % keys[0]}", root.key_place(keys[0]))
        return True

    def _phase(self, key: str, root: Node) -> Phase | None:
        place = root.key_place(key)
        if key in LEGACY_PHASES:
            phase = LEGACY_PHASES[key]
            self._problems.warning(f"`{key}` is the old name of `{phase}`", place)
            if phase in root.children:
                self._problems.error(f"`{key}` and `{phase}` are the same phase; keep one of them", place)
            return phase
        if key in PHASE_KEYS:
            return Phase(key)
        if key == "enabled":
            self._enabled(root.children[key], place)
        elif key in GONE:
            self._problems.error(GONE[key], place)
        elif key != "$schema":
            self._unknown_key(key, closest(key, Phase), list(Phase), "a policy", place)
        return None

    def _enabled(self, node: Node, place: Place) -> None:
        if node.value is True:
            self._problems.warning(ENABLED, place)
        else:
            self._problems.error(DISABLED, place)

    def _rules(self, node: Node, path: Path, place: Place | None = None) -> tuple[Rule, ...]:
        """The rules of a phase: a list, or one rule that is not in a list."""
        if isinstance(node.value, dict):
            return self._rule(node, path)
        if isinstance(node.value, list):
            return tuple(rule for number, item in enumerate(node.items) for rule in self._rule(item, (*path, number)))
        if node.value is None:
            self._problems.warning(f"`{path[-1]}` has no rules", place or node.place)
        else:
            self._expected("a list of rules", node)
        return ()

    def _rule(self, node: Node, path: Path) -> tuple[Rule, ...]:
        """One rule, or none if it is beyond repair."""
        if not isinstance(node.value, dict):
            self._expected("a rule (`expressions` and `actions`) or an action (`type` and `config`)", node)
            return ()
        if node.children.keys() & {"type", "config"} and "actions" not in node.children:
            actions = self._action(node, path, _SHORTHAND_KEYS)
        else:
            actions = self._actions(node, path, self._check_rule_keys(node))
        return (Rule(self._rule_name(node), self._expressions(node), actions, path),)

    def _check_rule_keys(self, node: Node) -> set[str]:
        """The keys that were probably meant where unknown ones stand."""
        meant = set()
        known = _RULE_KEYS if "actions" in node.children else (*_RULE_KEYS, *_ACTION_KEYS)
        for key in map(str, node.children.keys() - set(_RULE_KEYS)):
            place = node.key_place(key)
            if key in _ACTION_KEYS:
                self._problems.error(f"`{key}` belongs to an action, and this rule has its own `actions`", place)
            else:
                hint = "expressions" if key in _CONDITIONS else closest(key, known)
                meant.add(hint)
                self._unknown_key(key, hint, _RULE_KEYS, "a rule", place)
        return meant

    def _has_known_keys(self, node: Node, known: Collection[str]) -> bool:
        unknown = node.children.keys() - set(known)
        for key in map(str, unknown):
            place = node.key_place(key)
            if key in _CONDITIONS:
                self._problems.error(f"`{key}` does nothing here; conditions are the `expressions` of a rule", place)
            elif key in _RULE_KEYS:
                self._problems.error(f"`{key}` belongs to the rule, not to an action", place)
            elif hint := closest(key, known):
                self._unknown_key(key, hint, known, "an action", place)
            else:
                self._problems.error(f"`{key}` belongs in the `config` of the action", place)
        return not unknown

    def _rule_name(self, node: Node) -> str:
        name = node.children.get("name")
        if name is None or name.value is None:
            return ""
        if isinstance(name.value, dict | list):
            self._expected("text as the name of the rule", name)
        return str(name.text)

    def _expressions(self, node: Node) -> tuple[ExpressionText, ...]:
        expressions = node.children.get("expressions")
        if expressions is None:
            return ()
        if not isinstance(expressions.value, list):
            self._expected("a list of expressions (`[]` is always true)", expressions)
            return ()
        return tuple(text for item in expressions.items for text in self._expression(item))

    def _expression(self, node: Node) -> tuple[ExpressionText, ...]:
        if isinstance(node.value, Text) and node.value.strip():
            return (ExpressionText.of(node.value),)
        quotes = "" if node.value is None or isinstance(node.value, Text) else "; put it in quotes"
        self._problems.error(f"expected an expression, found {found(node.value)}{quotes}", node.place)
        return ()

    def _actions(self, rule: Node, path: Path, meant: Collection[str]) -> tuple[ActionSpec, ...]:
        actions = rule.children.get("actions")
        if actions is None:
            if not {"actions", "type"} & set(meant):  # else they are there, under a name that is reported
                self._problems.error("a rule needs `actions`", rule.place)
        elif not isinstance(actions.value, list):
            dash = "; put a dash before `type`" if isinstance(actions.value, dict) else ""
            self._expected("a list of actions", actions, dash)
        elif not actions.value:
            self._problems.error("a rule needs at least one action", actions.place)
        else:
            steps = enumerate(actions.items)
            return tuple(
                spec for number, item in steps for spec in self._listed_action(item, (*path, "actions", number))
            )
        return ()

    def _listed_action(self, node: Node, path: Path) -> tuple[ActionSpec, ...]:
        if not isinstance(node.value, dict):
            instead = f"; write `- type: {node.value}`" if isinstance(node.value, Text) else ""
            self._expected("an action (`type` and `config`)", node, instead)
            return ()
        return self._action(node, path, _ACTION_KEYS)

    def _action(self, node: Node, path: Path, known: Collection[str]) -> tuple[ActionSpec, ...]:
        """The action, or none if it is beyond repair: with a key that nobody knows, its config may be missing."""
        sound = self._has_known_keys(node, known)
        type_, config = node.children.get("type"), node.children.get("config")
        if config is not None and not isinstance(config.value, dict | None):
            self._expected("a mapping as `config`", config)
        if type_ is None:
            self._problems.error("an action needs a `type`", node.place)
        elif not isinstance(type_.value, Text) or not type_.value:
            self._expected("the name of an action as `type`", type_)
        elif sound:
            settings = config.value if config and isinstance(config.value, dict) else {}
            return (ActionSpec(type_.value, settings, path, type_.place),)
        return ()

    def _expected(self, what: str, node: Node, instead: str = "") -> None:
        self._problems.error(f"expected {what}, found {found(node.value)}{instead}", node.place)

    def _unknown_key(self, key: str, hint: str, known: Collection[str], owner: str, place: Place) -> None:
        has = "" if hint else f"; {owner} has {listed(known, 'and')}"
        self._problems.error(f"unknown key `{key}`{has}", place, hint=hint)


def _not_a_policy(root: Node) -> str:
    message = f"a policy maps phases to rules, but this is {found(root.value)}"
    is_path = isinstance(root.value, str) and root.value.endswith((".yaml", ".yml", ".json"))
    return f"{message}; to load a file, pass a Path" if is_path else message
