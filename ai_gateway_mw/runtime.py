"""Runtime: what the compiler gives an action: its expressions and templates, the settings, and where problems go.

It is bound to a phase and a place, see `Runtime.at`; what all policies of a gateway share is in `stores`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from ai_gateway_mw.cel import (
    BOOL,
    Environment,
    Expression,
    ExpressionError,
    ExpressionProblem,
    Template,
    Type,
    template,
)
from ai_gateway_mw.errors import Place, PolicyError, Problem
from ai_gateway_mw.headers import field_value
from ai_gateway_mw.policy import Path, Phase, TemplateText, Text
from ai_gateway_mw.secrets import DEFAULT_VAULT, SecretStore
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.telemetry import Sparing
from ai_gateway_mw.variables import (
    doubts,
    functions_elsewhere,
    instead,
    is_bare,
    nginx_variables,
    note_of,
    unknown_results,
    variables_elsewhere,
)


class Locate(Protocol):
    """Where a field of an action's config stands, by its path; with `key`, where its name does."""

    def __call__(self, path: Path, *, key: bool = False) -> Place: ...


@dataclass(frozen=True)
class Runtime:
    """What an action's `__init__` gets. `expression` and `template` report what is wrong instead of raising it, so
    that all problems of a policy are found at once; what they return in that case is never called."""

    stores: Stores
    phase: Phase = Phase.ON_HTTP_REQUEST
    place: Place | None = None
    locate: Locate | None = None
    lacking: frozenset[Path] = frozenset()  # mappings of the action's config without a field that was wrong
    problems: list[Problem] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)  # read by what was made here
    secret_names: set[tuple[str, str]] = field(default_factory=set)  # of `secrets.get` with literal names, all phases
    needs: set[str] = field(default_factory=set)  # what has to be opened before requests come: `keys`
    paths: set[str] = field(default_factory=set)  # that an action answers, beside the AI paths

    def at(self, phase: Phase, place: Place | None, locate: Locate | None = None) -> Runtime:
        """This runtime for one rule or action of a phase; the list of problems is shared."""
        return replace(self, phase=phase, place=place, locate=locate, variables=set())

    @property
    def settings(self) -> Settings:
        return self.stores.settings

    @property
    def secrets(self) -> SecretStore:
        return self.stores.secrets

    @property
    def environment(self) -> Environment:
        """What expressions of this phase may use."""
        return self.stores.environment(self.phase)

    def problem(
        self,
        message: str,
        place: Place | None = None,
        *,
        field: Path = (),
        key: bool = False,
        hint: str = "",
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Report what is wrong with the policy: at a place, at a field of the action's config, or at the action; with
        `key`, at the field's name.

        A warning does not keep the policy from loading. What may be due to a field that was left out is not said.
        """
        if place is None and field[:-1] in self.lacking:
            return
        located = self.locate(field, key=key) if field and self.locate else self.place
        self.problems.append(Problem(message, place or located, hint, severity))

    def sparing(self, action: str) -> Sparing:
        """What an action of this type, with `enforce: false`, tells instead of refusing."""
        return Sparing(self.stores.shadow, action, str(self.place or ""), self.secrets.redact)

    def expression(
        self, text: str, *, expect: Type | None = None, environment: Environment | None = None
    ) -> Expression | None:
        """One expression; None where it was reported as a problem."""
        made = self._expression(text, expect, environment or self.environment)
        if made is not None:
            self._warn_of_empty(made.variables, text)
            self._warn_of_unknown(made.selects, text)
            for doubt in doubts(text):
                self._doubt(doubt.message, text, doubt.offset, doubt.severity)
        return made

    def _expression(self, text: str, expect: Type | None, environment: Environment) -> Expression | None:
        try:
            made = environment.expression(text, expect=expect)
            self._note(made)
            return made
        except ExpressionError as error:
            self._report(text, error.problems)
            return None

    def condition(self, texts: Sequence[str]) -> Expression | None:
        """The expressions of a rule, each checked for itself and run as one, joined by `&&` (errors are absorbed as
        CEL says); None where there are none."""
        sound = [self.expression(text, expect=BOOL) is not None for text in texts]
        if not texts or not all(sound):
            return None
        if len(texts) == 1:
            return self.environment.expression(texts[0], expect=BOOL)
        return self._expression(" && ".join(f"({text}\n)" for text in texts), BOOL, self.environment)

    def template(self, text: str, *, public: bool = False) -> Template:
        """One template. A public one ends in an answer, a log or a redirect, where a secret has no business."""
        try:
            made = template(str(text), self.environment)
            self._note(made)
            self._warn_of_empty(made.variables, text)
            self._warn_of_unknown(made.selects, text)
            for doubt in nginx_variables(str(text)):
                self._doubt(doubt.message, text, doubt.offset)
            if made.constant and is_bare(str(text)):
                self._doubt("this is plain text; to have its value, write it within `${ }`", text, 0)
        except ExpressionError as error:
            self._report(text, error.problems)
            return template("${null}", self.environment)  # not a constant: nobody looks at it, and complains again
        if public and made.sensitive and any(part.type != BOOL for part in made.expressions if part.sensitive):
            self.problem(
                "a secret must not be used here: this text is shown to clients or logged", _place(text, 0, self.place)
            )
        return made

    def templates(self, value: Any, *, public: bool = False) -> Any:
        """A configured value of any depth with its strings made templates; plain strings stay as they are."""
        if isinstance(value, str):
            made = self.template(value, public=public)
            return made.render(None) if made.constant else made
        if isinstance(value, dict):
            return {str(name): self.templates(item, public=public) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.templates(item, public=public) for item in value]
        return value

    def fields(
        self, headers: Mapping[str, TemplateText], name_of: Callable[[str], bytes], *, public: bool = False
    ) -> list[tuple[bytes, Template]]:
        """The header fields of the action's `headers`, by the names that `name_of` makes of theirs."""
        made = []
        for name, text in headers.items():
            value = self.template(text, public=public)
            try:
                made.append((name_of(name), value))
            except ValueError as error:
                self.problem(str(error), field=("headers", name), key=True)
            try:
                field_value(value.render(None) if value.constant else "")
            except ValueError as error:
                self.problem(str(error), text.place_of())
        return made

    def _note(self, made: Expression | Template) -> None:
        self.variables.update(made.variables)
        for names in made.secrets:
            vault, name = names if len(names) == 2 else (DEFAULT_VAULT, *names)
            self.secret_names.add((vault, name))

    def _warn_of_empty(self, names: Iterable[str], text: str) -> None:
        """Say of variables that nothing here fills in that they stay empty: a rule about them never holds."""
        settings = self.settings
        for name in sorted(name for name in names if name.startswith("conn.")):
            note = note_of(name, intelligence=bool(settings.ip_intelligence), tls_fields=settings.tls_fields)
            if note:
                self._doubt(note, text, max(0, text.find(name)))
            if name.startswith(("conn.client_ip.", "conn.server_ip.", "conn.geo.")):
                self._read_intelligence()

    def _warn_of_unknown(self, paths: Iterable[str], text: str) -> None:
        """Say of results that no action has: what reads one fails, which refuses the request."""
        for path, hint in unknown_results(paths):
            message = f"no action has the result `{path}`: to read it fails"
            self._doubt(message, text, max(0, text.find(path)), hint=hint)

    def _doubt(
        self,
        message: str,
        text: str,
        offset: int,
        severity: Literal["error", "warning"] = "warning",
        *,
        hint: str = "",
    ) -> None:
        """Warn, once, of what is probably not meant."""
        problem = Problem(message, _place(text, offset, self.place), hint, severity)
        if problem not in self.problems:
            self.problems.append(problem)

    def _read_intelligence(self) -> None:
        """Its files are read when the policy loads, and not by the first request."""
        try:
            _ = self.stores.intelligence
        except PolicyError as error:
            self.problems.extend(problem for problem in error.problems if problem not in self.problems)

    def _report(self, text: str, found: Iterable[ExpressionProblem]) -> None:
        elsewhere, functions = variables_elsewhere(self.phase), functions_elsewhere(self.phase)
        roots = {name.partition(".")[0] for name in self.environment.variables}
        for problem in found:
            message, hint = instead(text, problem.message, problem.offset)
            hint = hint or problem.hint
            called = message.removeprefix("unknown function `").removesuffix("`")
            if called in functions:
                message, hint = f"{message} (it is known in {', '.join(functions[called])})", ""
            for name, phases in elsewhere.items():
                root = name.partition(".")[0]
                if f"`{name}`" in message or (f"`{root}`" in message and root not in roots):
                    message += f" (`{name if root in roots else f'{root}.*'}` is known in {', '.join(phases)})"
                    break
            self.problem(message, _place(text, problem.offset, self.place), hint=hint)


def _place(text: str, offset: int, otherwise: Place | None) -> Place | None:
    return text.place_of(offset) if isinstance(text, Text) else otherwise
