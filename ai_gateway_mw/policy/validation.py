"""An action's raw config -> its model. pydantic finds what is wrong; here it gets its place in the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from pydantic import ValidationError

from ai_gateway_mw.errors import Place, PolicyError, Problem, closest
from ai_gateway_mw.policy.document import Document, Path
from ai_gateway_mw.policy.fields import fields_at
from ai_gateway_mw.policy.findings import Finding, findings, value_at
from ai_gateway_mw.policy.legacy import RENAMED_FIELDS
from ai_gateway_mw.policy.model import ActionConfig, ActionSpec
from ai_gateway_mw.policy.phrases import options_of, sentence
from ai_gateway_mw.policy.problems import Problems
from ai_gateway_mw.policy.text import WITH_PLACES, Text
from ai_gateway_mw.policy.wording import listed

C = TypeVar("C", bound=ActionConfig)


def validated(config_class: type[C], spec: ActionSpec, document: Document) -> C:
    """The config of an action as its model. Raises PolicyError with everything that is wrong with it."""
    made = _model(config_class, spec, document)
    if isinstance(made, list):
        raise PolicyError(_Report(config_class, spec, document).problems(made))
    return made


def validated_in_part(
    config_class: type[C], spec: ActionSpec, document: Document
) -> tuple[C | None, Sequence[Problem], frozenset[Path]]:
    """The config of an action as its model, and everything that is wrong with it. A config that is wrong is made
    without the fields that are, so that what else is wrong can be found: the third are the mappings that lack one
    then. None where it cannot be made without them."""
    made = _model(config_class, spec, document)
    problems = _Report(config_class, spec, document).problems(made) if isinstance(made, list) else ()
    wrong: set[Path] = set()
    while isinstance(made, list):
        found = {_field(finding) for finding in made}
        if () in found or found <= wrong:
            return None, problems, frozenset()
        wrong |= found
        made = _model(config_class, replace(spec, config=_without(spec.config, wrong)), document)
    return made, problems, frozenset(path[:-1] for path in wrong)


def _field(finding: Finding) -> Path:
    """The field that is wrong, or has something wrong in it: a list without one of its items would have its others
    elsewhere."""
    path = finding.path[:-1] if finding.type == "missing" else finding.path
    while path and isinstance(path[-1], int):
        path = path[:-1]
    return path


def _without(value: Any, paths: Iterable[Path]) -> Any:
    """A copy of `value` that lacks what is at these paths."""
    below: dict[str | int, list[Path]] = {}
    for first, *rest in paths:
        below.setdefault(first, []).append(tuple(rest))
    if isinstance(value, list):
        return [_without(item, below.get(number, ())) for number, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    return {key: _without(item, below.get(key, ())) for key, item in value.items() if () not in below.get(key, ())}


def _model(config_class: type[C], spec: ActionSpec, document: Document) -> C | list[Finding]:
    """The model, or what is wrong."""
    config: Any = spec.config
    context: Any = {WITH_PLACES: True}
    while True:
        try:
            return config_class.model_validate(config, context=context)
        except ValidationError as error:
            wrong = findings(error.errors(include_url=False, include_input=False), config)
        unspelled = [finding.path for finding in wrong if finding.type == "text_spelling"]
        if not unspelled:
            return wrong
        spelled = [path for path in unspelled if _is_spelled(spec, path, document, config)]
        if not spelled:  # the config was not read from this document, or a validator rearranged it
            context = None
        for path in spelled:
            config = _replaced(config, path, document.text(_whole(spec, path)))


def plain_templates(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where a config holds an interpolation in a field that takes none; those that do are a `TemplateText`."""
    if isinstance(value, ActionConfig):
        for name, field in type(value).model_fields.items():
            yield from plain_templates(getattr(value, name), (*path, field.alias or name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from plain_templates(item, (*path, key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from plain_templates(item, (*path, number))
    elif type(value) is str and "${" in value:
        yield path


def _is_spelled(spec: ActionSpec, path: Path, document: Document, config: Any) -> bool:
    """Whether the document has a spelling to offer for what is not text yet."""
    return not isinstance(value_at(config, path), str) and document.text(_whole(spec, path)) is not None


def _replaced(value: Any, path: Path, new: Text | None) -> Any:
    """A copy of `value` with something else at `path`."""
    if not path:
        return new
    copied: Any = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copied


def _whole(spec: ActionSpec, path: Path) -> Path:
    return (*spec.path, "config", *path)


class _Report:
    """Says what is wrong with one config, and where."""

    def __init__(self, config_class: type[ActionConfig], spec: ActionSpec, document: Document) -> None:
        self._config_class = config_class
        self._spec = spec
        self._document = document
        self._problems = Problems()

    def problems(self, wrong: list[Finding]) -> Sequence[Problem]:
        meant = {
            (*finding.path[:-1], self._meant(finding.path)) for finding in wrong if finding.type == "extra_forbidden"
        }
        for finding in wrong:
            if finding.type == "extra_forbidden":
                self._unknown(finding.path)
            elif finding.type != "missing":
                self._wrong(finding)
            elif finding.path not in meant:  # else it is there, under a name that is reported
                self._missing(finding.path)
        return self._problems.in_order()

    def _unknown(self, path: Path) -> None:
        hint = self._meant(path)
        known = listed(fields_at(self._schema, path[:-1]), "and")
        instead = f"; known are {known}" if known and not hint else ""
        self._problems.error(f"unknown field `{path[-1]}`{instead}", self._place(path, key=True), hint=hint)

    def _meant(self, path: Path) -> str:
        renamed = RENAMED_FIELDS.get(self._spec.type, {}).get(str(path[-1]))
        return renamed or closest(str(path[-1]), fields_at(self._schema, path[:-1]))

    @cached_property
    def _schema(self) -> dict[str, Any]:
        return self._config_class.model_json_schema()

    def _missing(self, path: Path) -> None:
        owner = f"`{_dotted(path[:-1])}`" if path[:-1] else f"the config of `{self._spec.type}`"
        self._problems.error(f"{owner} needs `{path[-1]}`", self._place(path[:-1]))

    def _wrong(self, finding: Finding) -> None:
        path = finding.path
        value = path[-1] if finding.is_about_key else value_at(self._spec.config, path)
        options = [option for error in finding.errors for option in options_of(error)]
        hint = closest(value, options) if isinstance(value, str) else ""
        place = self._place(path, key=finding.is_about_key)
        self._problems.error(sentence(_dotted(path), finding.errors, value), place, hint=hint)

    def _place(self, path: Path, *, key: bool = False) -> Place:
        whole = _whole(self._spec, path)
        return self._document.place(whole, key=key) if self._document.has(_whole(self._spec, ())) else self._spec.place


def _dotted(path: Path) -> str:
    """`providers[0].id`"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
